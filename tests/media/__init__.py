"""Videos and portraits in one shape."""
