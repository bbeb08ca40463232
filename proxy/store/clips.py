"""Finished clips on this disk: which are wanted, which are kept, and what stood in the way.

The memory of jobs is the list of what is wanted: a job whose final answer names a video, and which
has no row here, is to be fetched. So whatever dies, and whenever, nothing has to be handed over.
What is read here goes by an index or a few rows at a time, and what is written is one row or a few.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from proxy.core.cliplinks import named_link

WANTED_S: Final = 48 * 3600
"""How young a job is whose clip is fetched: so long its provider keeps it, at the longest."""
RETRIED_S: Final = 24 * 3600
"""How long what may pass is tried again: what lasts a day is no accident."""
DELAYED_S: Final = 300
"""After how long what may pass is worth a person's look."""
TRIED_LATELY_S: Final = 2 * 3600
"""How long ago the next attempt was due at the most, where anybody tries: none takes so long."""
ROWS_A_TURN: Final = 50
_FETCHABLE_S: Final = WANTED_S + RETRIED_S

ClipState = Literal["wanted", "fetching", "kept", "failed", "forgotten"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A clip that is to be fetched now; without a link where its job's answer names none."""

    provider: str
    job: str
    link: str | None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other."""
        return self.provider, self.job


@dataclass(frozen=True, slots=True)
class Clip:
    """What is known of a job's clip; what was kept of it where it is kept."""

    state: ClipState
    next_at: int = 0
    size: int = 0
    sha256: bytes = b""
    media_type: str = ""
    kept_at: int = 0


@dataclass(frozen=True, slots=True)
class Delayed:
    """Clips that something stands in the way of: how many, and the oldest, tried since `since`."""

    count: int
    provider: str
    job: str
    note: str
    since: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written to the disk."""

    size: int
    sha256: bytes
    media_type: str


def due(
    db: sqlite3.Connection, now: int, limit: int, busy: Collection[str] = ()
) -> tuple[Wanted, ...]:
    """What is to be fetched now but at the busy providers: what was tried least, oldest job first.

    The next attempt at a clip may be due before others have had their first. An answer may be long:
    those of all that is due are not sorted with it.
    """
    rows = db.execute(
        "WITH due (job, attempts, since) AS ("
        "SELECT m.rowid, coalesce(c.attempts, 0), m.created_at FROM memory m"
        " LEFT JOIN clip c ON c.provider = m.provider AND c.job = m.id"
        " WHERE m.kind = 'job' AND m.created_at > ?1 AND m.state = 'completed'"
        " AND m.answer NOTNULL AND ((c.state IS NULL AND m.created_at > ?2)"
        " OR (c.state = 'fetching' AND c.next_at <= ?3))"
        " AND m.provider NOT IN (SELECT value FROM json_each(?4))"
        " ORDER BY 2, 3, 1 LIMIT ?5)"
        " SELECT provider, id, answer FROM due JOIN memory ON memory.rowid = job"
        " ORDER BY attempts, since, job",
        (now - _FETCHABLE_S, now - WANTED_S, now, json.dumps([*busy]), limit),
    )
    return tuple(Wanted(provider, job, named_link(answer)) for provider, job, answer in rows)


def find(db: sqlite3.Connection, provider: str, job: str, now: int) -> Clip | None:
    """What is known of a job's clip; None for one that nobody wants."""
    row = db.execute(
        "SELECT c.state, c.next_at, coalesce(c.bytes, 0), coalesce(c.sha256, x''), c.media_type,"
        " coalesce(c.kept_at, 0) FROM clip c WHERE c.provider = ? AND c.job = ?",
        (provider, job),
    ).fetchone()
    if row is not None:
        return Clip(*row)
    young = db.execute(
        "SELECT 1 FROM memory WHERE kind = 'job' AND id = ? AND provider = ? AND created_at > ?"
        " AND state = 'completed' AND answer NOTNULL",
        (job, provider, now - WANTED_S),
    ).fetchone()
    return None if young is None else Clip("wanted")


def delayed(db: sqlite3.Connection, now: int) -> Delayed | None:
    """What is not kept, and could be yet: it does not pass, or the config shuts its host out.

    The jobs first, by their age: of those that are so young there are few.
    """
    count, since, provider, job, note = db.execute(
        "SELECT count(*), min(c.since), c.provider, c.job, c.note FROM memory m"
        " CROSS JOIN clip c ON c.provider = m.provider AND c.job = m.id"
        " WHERE m.kind = 'job' AND m.created_at > ?1 AND ("
        "(c.state = 'fetching' AND c.note <> '' AND c.since <= ?2 AND c.next_at > ?3)"
        " OR (c.state = 'failed' AND c.host <> '' AND m.created_at > ?4))",
        (now - _FETCHABLE_S, now - DELAYED_S, now - TRIED_LATELY_S, now - WANTED_S),
    ).fetchone()
    return Delayed(count, provider, job, note, since) if count else None


def begin(db: sqlite3.Connection, key: tuple[str, str], now: int) -> tuple[int, int] | None:
    """Note an attempt: how many there were with it, and since when.

    None where it is not due any more: whoever looked, looked a moment ago.
    """
    row = db.execute(
        "INSERT INTO clip (provider, job, state, since, attempts)"
        " VALUES (?1, ?2, 'fetching', ?3, 1)"
        " ON CONFLICT (provider, job) DO UPDATE SET attempts = attempts + 1"
        " WHERE state = 'fetching' AND next_at <= ?3 RETURNING attempts, since",
        (*key, now),
    ).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def keep(db: sqlite3.Connection, key: tuple[str, str], kept: Kept, now: int) -> None:
    """Note that a clip is on the disk."""
    db.execute(
        "UPDATE clip SET state = 'kept', note = '', host = '', bytes = ?, sha256 = ?,"
        " media_type = ?, kept_at = ? WHERE provider = ? AND job = ?",
        (kept.size, kept.sha256, kept.media_type, now, *key),
    )


def put_off(db: sqlite3.Connection, key: tuple[str, str], note: str, next_at: int) -> None:
    """Note what stood in the way, and when the clip is tried again."""
    db.execute(
        "UPDATE clip SET note = ?, next_at = ? WHERE provider = ? AND job = ?",
        (note, next_at, *key),
    )


def give_up(db: sqlite3.Connection, key: tuple[str, str], note: str, host: str = "") -> None:
    """Note why a clip is not kept, or not any more."""
    db.execute(
        "UPDATE clip SET state = 'failed', note = ?, host = ?, bytes = NULL, sha256 = NULL,"
        " kept_at = NULL WHERE provider = ? AND job = ?",
        (note, host, *key),
    )


def resume(db: sqlite3.Connection, now: int) -> None:
    """Have all that is not kept yet tried now: by a daemon that begins, or with a new config."""
    db.execute("UPDATE clip SET next_at = ? WHERE state = 'fetching'", (now,))


def shut_out(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """The providers and hosts whose clips are not kept because the config does not allow them."""
    return db.execute(
        "SELECT DISTINCT provider, host FROM clip WHERE state = 'failed' AND host <> ''"
    ).fetchall()


def let_in(db: sqlite3.Connection, pairs: Collection[tuple[str, str]], now: int) -> None:
    """Want clips again, from hosts that the config allows by now."""
    db.executemany(
        "UPDATE clip SET state = 'fetching', since = ?1, attempts = 0, next_at = ?1, host = ''"
        " WHERE state = 'failed' AND provider = ?2 AND host = ?3",
        [(now, provider, host) for provider, host in pairs],
    )


def expired(db: sqlite3.Connection, before: int) -> list[tuple[str, str]]:
    """Some of the clips that were kept before a time."""
    return db.execute(
        "SELECT provider, job FROM clip WHERE state = 'kept' AND kept_at <= ?"
        " ORDER BY kept_at LIMIT ?",
        (before, ROWS_A_TURN),
    ).fetchall()


def forget(db: sqlite3.Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Note that clips are kept no more, their time being over."""
    db.executemany(
        "UPDATE clip SET state = 'forgotten', bytes = NULL, sha256 = NULL, kept_at = NULL,"
        " note = 'its retention is over' WHERE provider = ? AND job = ? AND state = 'kept'",
        keys,
    )


def kept_keys(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Whatever is kept."""
    return db.execute("SELECT provider, job FROM clip WHERE state = 'kept'").fetchall()


def stale(db: sqlite3.Connection, now: int) -> list[tuple[str, str]]:
    """Some rows that wait for nothing any more: of jobs that are too old, or forgotten."""
    return db.execute(
        "SELECT c.provider, c.job FROM clip c LEFT JOIN memory m"
        " ON m.kind = 'job' AND m.id = c.job AND m.provider = c.provider"
        " WHERE (c.state <> 'kept' AND m.id IS NULL)"
        " OR (c.state = 'fetching' AND m.created_at <= ?) LIMIT ?",
        (now - _FETCHABLE_S, ROWS_A_TURN),
    ).fetchall()


def clear(db: sqlite3.Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Note that these are tried no more; without their job there is nothing to note it of."""
    db.executemany(
        "DELETE FROM clip WHERE provider = ?1 AND job = ?2 AND NOT EXISTS (SELECT 1 FROM memory m"
        " WHERE m.kind = 'job' AND m.id = ?2 AND m.provider = ?1)",
        keys,
    )
    db.executemany(
        "UPDATE clip SET state = 'failed' WHERE provider = ? AND job = ? AND state = 'fetching'",
        keys,
    )
