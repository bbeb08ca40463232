"""The x402 protocol as a payer speaks it, versions 1 and 2, without I/O.

`challenge` reads what a 402 offers, `terms` chooses one offer and checks it against our own
tables, `authorization` builds and hashes the EIP-3009 permission and its header, `receipt` reads
what the seller claims afterwards, `assets` is the table of tokens.
"""
