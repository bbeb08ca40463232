"""The units, and the daemon under a service manager that a test plays."""
