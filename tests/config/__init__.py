"""The config: reading, judging, reloading, and the commands about it."""
