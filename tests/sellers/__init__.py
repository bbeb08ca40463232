"""The daemon against sellers that are not ours, on a chain that is not ours."""
