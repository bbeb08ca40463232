"""The promise itself under test: what was taken plus what could still be taken fits every cap."""
