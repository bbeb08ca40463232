"""The ledger over a disk that forgets what was not synced, and over one that fails."""
