"""The rules, without the world: money, policy, ledger, routing, protocol.

Nothing here does I/O. The clock, nonces, keys and files arrive as arguments, so that a test owns
them; the import contract in `pyproject.toml` holds the line.
"""
