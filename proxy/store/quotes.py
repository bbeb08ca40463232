"""The last price paid for each thing, for providers whose config watches for jumps."""

import sqlite3

from proxy.core.errors import Refusal
from proxy.core.money import USD_DECIMALS, Usd, format_usd


def check(
    db: sqlite3.Connection, provider: str, thing: bytes, usd: Usd, ratio: int
) -> Refusal | None:
    """Refuse a price of `ratio` (in millionths) times the last one for the same thing, or more."""
    row = db.execute(
        "SELECT usd FROM quote WHERE provider = ? AND thing = ?", (provider, thing)
    ).fetchone()
    if row is None or row[0] == 0 or usd * 10**USD_DECIMALS < row[0] * ratio:
        return None
    message = (
        f"{provider} asks {format_usd(usd)} USD for what cost {format_usd(row[0])} USD last time;"
        f" if that is right: farebox payees accept {provider} --prices"
    )
    return Refusal("quote_jump", message)


def note(db: sqlite3.Connection, provider: str, thing: bytes, usd: Usd, now: int) -> None:
    """Remember what is paid now."""
    db.execute(
        "INSERT INTO quote VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET usd = ?3, at = ?4",
        (provider, thing, usd, now),
    )


def forget(db: sqlite3.Connection, provider: str) -> int:
    """Take whatever a provider asks next for its usual price; how many prices were forgotten."""
    return db.execute("DELETE FROM quote WHERE provider = ?", (provider,)).rowcount
