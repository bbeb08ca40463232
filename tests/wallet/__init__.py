"""Tests of what holds the key, and of what holds a body."""
