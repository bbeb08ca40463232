"""The sandbox: BlockRun, Sunra and PomexAI in miniature, on this machine, with imaginary money.

They keep their documented contracts (statuses, errors, delays, ids), verify every signature, nonce,
window, amount and balance as a facilitator would, and misbehave on request (`?fault=`, see
`FAULTS`). Nothing leaves the machine and nothing touches a chain.

It judges what the daemon does, and so shares no code with it: it never imports the daemon's
signing, wallet, ledger or flow.

    async with sandbox(SandboxOptions(job_s=0.2)) as town:
        ...  # speak to town.blockrun_url, then look at town.facilitator and town.requests
"""

from proxy.sandbox.facilitator import Facilitator, Settlement
from proxy.sandbox.faults import FAULTS, Fault
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.seen import Seen
from proxy.sandbox.servers import Sandbox, sandbox

__all__ = [
    "FAULTS",
    "Facilitator",
    "Fault",
    "Sandbox",
    "SandboxOptions",
    "Seen",
    "Settlement",
    "sandbox",
]
