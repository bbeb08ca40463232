"""Farebox: a local daemon that pays HTTP 402 for you, and never more than you allow."""

__version__ = "0.1.0"
