"""Money as integers: dollars in millionths, token amounts in the token's smallest unit.

Two units meet in this project and must not be mixed up. A *token amount* is what a challenge asks
for and an authorization moves: an integer of the asset's smallest unit. *Dollars* are what people
write into caps: they are held as `Usd`, an integer of millionths. Floats, exponents, signs and the
wide notion of a number that Python's `int()` has never touch either of them.
"""

import re
from typing import Final, NewType

Usd = NewType("Usd", int)
"""Dollars, in millionths of one."""

USD_DECIMALS: Final = 6
USD_MAX: Final = Usd(2**62)
"""More than this does not fit beside others into the ledger's 64-bit columns; no cap reaches it."""

_AMOUNT = re.compile(r"[0-9]{1,78}", re.ASCII)
_DOLLARS = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,6}))?", re.ASCII)
_UINT256_END: Final = 2**256


def parse_amount(text: object) -> int | None:
    """Read a token amount as a challenge writes it: 1 to 78 ASCII digits, above zero, below 2**256.

    Anything else (a JSON number, `1e6`, `0x10`, `+5`, ` 10`, `1_000`, full-width digits) is no
    amount: the answer is None.
    """
    if not isinstance(text, str) or _AMOUNT.fullmatch(text) is None:
        return None
    amount = int(text)
    return amount if 0 < amount < _UINT256_END else None


def parse_usd(text: str) -> Usd | None:
    """Read dollars as a person writes them in the config: `20`, `0.50`, at most 6 decimals.

    None if it is not that.
    """
    match = _DOLLARS.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match.groups(default="")
    return Usd(int(whole) * 10**USD_DECIMALS + int(fraction.ljust(USD_DECIMALS, "0")))


def usd_of(amount: int, decimals: int) -> Usd:
    """Value a token amount of a dollar-pegged asset in dollars.

    Rounded up so that a cap never counts too little.
    """
    return Usd(min(USD_MAX, -(-amount * 10**USD_DECIMALS // 10**decimals)))


def format_units(amount: int, decimals: int) -> str:
    """Write a token amount as a decimal number without trailing zeros.

    `format_units(500000, 6)` is `0.5`.
    """
    whole, fraction = divmod(amount, 10**decimals)
    digits = str(fraction).rjust(decimals, "0").rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)


def format_usd(usd: int) -> str:
    """Write dollars with at least two decimals: `0.50`, `12.00`, `0.0125`."""
    text = format_units(abs(usd), USD_DECIMALS)
    whole, _, fraction = text.partition(".")
    return f"{'-' if usd < 0 else ''}{whole}.{fraction.ljust(2, '0')}"
