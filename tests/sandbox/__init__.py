"""The sandbox against the contract of the three providers."""
