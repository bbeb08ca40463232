"""The memory of ids.

Which provider gave out which job or asset, and what a job needs to be asked for again.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.store.records import Memory

_COLUMNS = "id, kind, provider, model, poll_path, payment, client, state, answer"
OPEN_JOBS_MAX = 1000
"""How many are looked at together: the youngest, which have not had their time yet."""
_OTHER = "(payment NOTNULL AND excluded.payment NOTNULL AND excluded.payment <> payment)"
_OPPOSITE = {"ASC": "DESC", "DESC": "ASC"}


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job whose end is not known, and when it was first heard of."""

    provider: str
    id: str
    created_at: int

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other."""
        return self.provider, self.id


def remember(db: sqlite3.Connection, memories: Sequence[Memory], now: int) -> None:
    """Store ids, and in payments which job they pay for; what was known and is not said stays.

    An end that is known outlasts what an older question brings. An id that is given out for another
    payment is another job: nothing that was known of the first is said of it.
    """
    db.executemany(
        f"INSERT INTO memory ({_COLUMNS}, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, id, provider) DO UPDATE SET"
        " model = CASE excluded.model WHEN '' THEN model ELSE excluded.model END,"
        " poll_path = CASE excluded.poll_path WHEN '' THEN poll_path ELSE excluded.poll_path END,"
        " payment = coalesce(excluded.payment, payment),"
        " client = coalesce(client, excluded.client),"
        f" state = CASE WHEN {_OTHER} THEN excluded.state"
        " WHEN excluded.state = '' OR (answer NOTNULL AND excluded.answer ISNULL) THEN state"
        " ELSE excluded.state END,"
        f" answer = CASE WHEN {_OTHER} THEN excluded.answer"
        " ELSE coalesce(excluded.answer, answer) END",
        [
            (
                m.id,
                m.kind,
                m.provider,
                m.model,
                m.poll_path,
                m.payment,
                m.client,
                m.state,
                m.answer,
                now,
            )
            for m in memories
        ],
    )
    db.executemany(
        "UPDATE payment SET job = ? WHERE id = ?",
        [(m.id, m.payment) for m in memories if m.kind == "job" and m.payment is not None],
    )


def recall(db: sqlite3.Connection, kind: str, id_: str) -> tuple[Memory, ...]:
    """Everything known under an id, oldest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM memory WHERE kind = ? AND id = ? ORDER BY created_at",
        (kind, id_),
    )
    return tuple(Memory(*row) for row in rows)


def job_of(db: sqlite3.Connection, payment: str) -> Memory | None:
    """The job that a payment pays for, if it pays for one."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM memory WHERE kind = 'job'"
        " AND id = (SELECT job FROM payment WHERE id = ?1) AND payment = ?1",
        (payment,),
    ).fetchone()
    return None if row is None else Memory(*row)


def dated_job(db: sqlite3.Connection, provider: str, id_: str) -> tuple[Memory, int] | None:
    """A job of a provider, and when it was first heard of (Unix seconds)."""
    row = db.execute(
        f"SELECT {_COLUMNS}, created_at FROM memory WHERE kind = 'job' AND id = ? AND provider = ?",
        (id_, provider),
    ).fetchone()
    return None if row is None else (Memory(*row[:-1]), row[-1])


def dated_jobs(
    db: sqlite3.Connection, limit: int, *, after: str | None = None, newest_first: bool = True
) -> list[tuple[Memory, int]] | None:
    """Jobs in the order in which they were heard of, each with that time.

    None where the one to go on after is not known. Of two that share an id the later in the order
    counts, so that going on comes to an end.
    """
    order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
    last: tuple[int, int] | None = None
    if after is not None:
        last = db.execute(
            "SELECT created_at, rowid FROM memory WHERE kind = 'job' AND id = ?"
            f" ORDER BY created_at {_OPPOSITE[order]}, rowid {_OPPOSITE[order]} LIMIT 1",
            (after,),
        ).fetchone()
        if last is None:
            return None
    further = "" if last is None else f" AND (created_at, rowid) {beyond} (?, ?)"
    rows = db.execute(
        f"SELECT {_COLUMNS}, created_at FROM memory WHERE kind = 'job'{further}"
        f" ORDER BY created_at {order}, rowid {order} LIMIT ?",
        (*(last or ()), limit),
    )
    return [(Memory(*row[:-1]), row[-1]) for row in rows]


def open_jobs(
    db: sqlite3.Connection, providers: Sequence[str], since: int, limit: int = OPEN_JOBS_MAX
) -> tuple[OpenJob, ...]:
    """Jobs of some providers that were heard of after a time and whose end is not known."""
    rows = db.execute(
        "SELECT provider, id, created_at FROM memory WHERE kind = 'job' AND created_at > ?"
        " AND answer IS NULL AND provider IN (SELECT value FROM json_each(?))"
        " ORDER BY created_at DESC, rowid DESC LIMIT ?",
        (since, json.dumps(providers), limit),
    )
    return tuple(OpenJob(*row) for row in rows)
