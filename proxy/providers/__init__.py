"""What is peculiar to each kind of provider, and nothing general.

A kind's `Lore` answers a few questions about its documented calls: which model a call names, which
ids an answer gives out, whether a call starts a job, and what a JSON answer says about the money.
Any other provider has none of it, and that works too.
"""

from typing import Final

from proxy.core.config import Kind
from proxy.providers.blockrun import BLOCKRUN
from proxy.providers.lore import NO_LORE, GivenOut, JobStatus, Lore
from proxy.providers.pomex import POMEX
from proxy.providers.sunra import SUNRA

LORE: Final[dict[Kind, Lore]] = {
    "blockrun": BLOCKRUN,
    "sunra": SUNRA,
    "pomex": POMEX,
    "http": NO_LORE,
}

__all__ = ["LORE", "GivenOut", "JobStatus", "Lore"]
