"""The sandbox's own copy of what it needs to know about USDC: imaginary money, real names.

The ids are those of Base mainnet, so that a config for the real providers works here unchanged.
Nothing in the sandbox speaks to a chain. The copy is on purpose: a judge that took its constants
from the accused could not see an error in them.
"""

from decimal import Decimal
from math import ceil
from typing import Final

NETWORK: Final = "eip155:8453"
NETWORK_V1: Final = "base"
CHAIN_ID: Final = 8453
USDC: Final = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
USDC_NAME: Final = "USD Coin"
USDC_VERSION: Final = "2"
UNITS: Final = 1_000_000
"""How many smallest units one dollar has."""

SELLER: Final = "0xe9030014F5DAe217d0A152f02A043567b16c1aBf"
"""Where the sandbox's BlockRun wants its money."""

OTHER_SELLER: Final = "0x1111111254EEB25477B68fb85Ed929f73A960582"
"""Where it wants it under `?fault=new_payee`."""


def dollars(units: int) -> str:
    """Write an amount as BlockRun does: six decimals, `0.500000`."""
    return f"{units // UNITS}.{units % UNITS:06d}"


def units(usd: str) -> int:
    """Read dollars as smallest units, rounded up; ValueError for anything but a plain decimal."""
    if not usd.isascii() or not usd.replace(".", "", 1).isdigit():
        raise ValueError(f"not a dollar amount: {usd!r}")
    return ceil(Decimal(usd) * UNITS)
