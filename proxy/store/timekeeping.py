"""The clock's row: what the machine's clocks said together, for the next run to go on from."""

import sqlite3

from proxy.core.clock import Anchor, Clocks, SteadyClock


def steady_clock(db: sqlite3.Connection, clocks: Clocks) -> SteadyClock:
    """The ledger's time, from what the file knows of earlier times."""
    (latest,) = db.execute(
        # Each is written in the order of time: the last of each is the latest. A payment's row says
        # when its first authorization was reserved, a hold's when that one was.
        "SELECT max(coalesce((SELECT created_at FROM payment ORDER BY rowid DESC LIMIT 1), 0),"
        " coalesce((SELECT reserved_at FROM hold ORDER BY id DESC LIMIT 1), 0),"
        " coalesce((SELECT max((SELECT at FROM taken WHERE scope = balance.scope"
        " ORDER BY at DESC, seq DESC LIMIT 1)) FROM balance), 0))"
    ).fetchone()
    return SteadyClock(clocks, latest, read_anchor(db))


def read_anchor(db: sqlite3.Connection) -> Anchor | None:
    """What the last look at the clocks wrote."""
    row = db.execute("SELECT boot_id, uptime, wall, ledger FROM clock").fetchone()
    return None if row is None else Anchor(*row)


def write_anchor(db: sqlite3.Connection, anchor: Anchor) -> None:
    """Note what the clocks say."""
    db.execute(
        "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?)",
        (anchor.boot_id, anchor.uptime, anchor.wall, anchor.ledger),
    )
