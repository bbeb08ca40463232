"""Outside judges: a real EVM, Circle's USDC, the official facilitator, sellers good and bad.

Nothing here imports the daemon. What says that a payment is good is other people's code: anvil runs
Circle's compiled contract, and the official x402 SDK verifies and settles over it.
"""
