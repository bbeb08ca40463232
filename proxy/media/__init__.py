"""Videos and portraits in one shape, whoever makes them.

Each story here turns one request of the common shape into the native calls of a provider, and what
comes back into the common shape again. It makes its calls through `performing.Perform`: exactly as
a client's own native calls are made, with the key, the price, the caps and the memory of ids.
"""
