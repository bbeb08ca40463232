"""The chain's word, and what nodes make of it."""
