"""Farebox's tests: each folder is a room of the house, or a judge from outside."""
