"""Tests of the local door, of the log and of the metrics."""
