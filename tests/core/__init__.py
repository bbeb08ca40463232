"""Tests of the rules without the world."""
