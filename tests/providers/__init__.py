"""Every documented native call of the three providers, through a real daemon to the sandbox."""
