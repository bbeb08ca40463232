"""Asking the chain what became of what was signed, where the config names a node to ask.

`reconciler` is when to look and how the nodes are doing, `lookout` one look at one network,
`evidence` what log entries prove, `reads` the questions, `rpc` how they are asked. What a token's
contract says is read by `proxy.core.x402.eip3009`. Nothing here hastens anything: a node that is
down, slow, behind or of another chain costs time, and what is open stays counted.
"""

from proxy.chain.reconciler import Pace, Reconciler, Standing
from proxy.chain.rpc import Trouble

__all__ = ["Pace", "Reconciler", "Standing", "Trouble"]
