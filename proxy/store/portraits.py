"""The book of portraits: what was enrolled through here, where, and what it is called.

A name is reserved before the provider is called, by a row without an id, so that of two who want
it at once one is refused before anything is paid. What comes of the call takes the row's place; a
failure frees the name, and so does the next start of a daemon that died in between. A portrait that
failed keeps its name only until somebody wants it.

Assets that native calls made are known from the memory of ids, without a name.
"""

import json
import sqlite3
from dataclasses import dataclass, field, replace
from typing import Any, Final

ENROLLING: Final = "enrolling"
PROCESSING: Final = "processing"
FAILED: Final = "failed"
SETTLED: Final = ("active", FAILED)
UNKNOWN: Final = "unknown"
LIST_MAX: Final = 1000
"""More rows than a person reads; the newest are shown."""

_COLUMNS: Final = "provider, id, name, kind, group_id, status, image_url, created_at, models"
_REMEMBERED: Final = (
    "SELECT m.provider, m.id, NULL AS name, NULL AS kind, NULL AS group_id, 'unknown' AS status,"
    " NULL AS image_url, m.created_at, '[]' AS models FROM memory m WHERE m.kind = 'asset'"
    " AND NOT EXISTS (SELECT 1 FROM portrait p WHERE p.provider = m.provider AND p.id = m.id)"
)


@dataclass(frozen=True, slots=True)
class Portrait:
    """One portrait. `id` is empty while it is being enrolled.

    `kind` is `virtual` or `real`, None where nobody said; `request` is the fingerprint of what
    enrolled it.
    """

    provider: str
    id: str
    name: str | None = None
    kind: str | None = None
    group_id: str | None = None
    status: str = UNKNOWN
    image_url: str | None = None
    created_at: int = 0
    models: tuple[str, ...] = ()
    request: bytes = field(default=b"", repr=False)

    def shown(self) -> dict[str, Any]:
        """As pages show it; a group only where there is one."""
        group = {} if self.group_id is None else {"group_id": self.group_id}
        return {
            "id": self.id or None,
            "provider": self.provider,
            "name": self.name,
            "kind": self.kind,
            **group,
            "status": self.status,
            "image_url": self.image_url,
            "created_at": self.created_at,
            "models": list(self.models),
        }


def reserve(db: sqlite3.Connection, provider: str, name: str, now: int) -> Portrait | None:
    """Take a name for an enrolment that is about to begin; or whose it is already."""
    standing = holder(db, name)
    if standing is not None:
        return standing
    db.execute("UPDATE portrait SET name = NULL WHERE name = ?", (name,))
    db.execute(
        "INSERT INTO portrait (provider, id, name, status, created_at) VALUES (?, ?, ?, ?, ?)",
        (provider, _placeholder(name), name, ENROLLING, now),
    )
    return None


def holder(db: sqlite3.Connection, name: str) -> Portrait | None:
    """Whose a name is, if it is not to be had: it may be the id of another portrait too.

    An id that is given out later may still be equal to a name, and goes before it. Providers make
    their ids up at random, so only who named a portrait like one of them to come would meet that.
    """
    known = _identified(db, name)
    if known:
        return known[0]
    standing = _named(db, name)
    return None if standing is None or standing.status == FAILED else standing


def release(db: sqlite3.Connection, name: str) -> None:
    """Give a name back whose enrolment came to nothing."""
    db.execute("DELETE FROM portrait WHERE name = ? AND status = ?", (name, ENROLLING))


def free(db: sqlite3.Connection) -> None:
    """Give back the names of enrolments that ended with their daemon."""
    db.execute("DELETE FROM portrait WHERE status = ?", (ENROLLING,))


def enter(db: sqlite3.Connection, portrait: Portrait, now: int) -> Portrait:
    """Write down a portrait that the provider gave an id, in place of its reservation."""
    if portrait.name is not None:
        release(db, portrait.name)
    return _upsert(db, portrait, now)


def note(db: sqlite3.Connection, portrait: Portrait, now: int) -> Portrait:
    """Write down news of a portrait; whatever it is called by now, it still is."""
    return _upsert(db, replace(portrait, name=None), now)


def delete(db: sqlite3.Connection, portrait: Portrait, now: int) -> None:
    """Strike a portrait from the book: its name is free, and its id is listed no more."""
    note(db, portrait, now)
    db.execute(
        "UPDATE portrait SET status = 'deleted', name = NULL WHERE provider = ? AND id = ?",
        (portrait.provider, portrait.id),
    )


def find(db: sqlite3.Connection, word: str) -> tuple[Portrait, ...]:
    """What is known under an id, or else under a name; two providers may give out one id."""
    named = _named(db, word)
    return _identified(db, word) or (() if named is None else (named,))


def listed(db: sqlite3.Connection, *, limit: int = LIST_MAX) -> dict[str, Any]:
    """Every portrait, newest first.

    `{"portraits": [{id, provider, name, kind, group_id?, status, image_url, created_at, models}]}`;
    what is not known is null.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM portrait WHERE status <> 'deleted' UNION ALL {_REMEMBERED}"
        " ORDER BY created_at DESC, provider, id LIMIT ?",
        (limit,),
    )
    return {"portraits": [_portrait(row).shown() for row in rows]}


def count_of(db: sqlite3.Connection, provider: str) -> int:
    """How many assets of a provider are remembered: it grows with each enrolment."""
    (found,) = db.execute(
        "SELECT count(*) FROM memory WHERE kind = 'asset' AND provider = ?", (provider,)
    ).fetchone()
    return int(found)


def _upsert(db: sqlite3.Connection, portrait: Portrait, now: int) -> Portrait:
    db.execute(
        f"INSERT INTO portrait ({_COLUMNS}, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (provider, id) DO UPDATE SET name = coalesce(excluded.name, name),"
        " kind = coalesce(excluded.kind, kind), group_id = coalesce(excluded.group_id, group_id),"
        " status = excluded.status, image_url = coalesce(excluded.image_url, image_url),"
        " models = excluded.models,"
        " request = CASE excluded.request WHEN x'' THEN request ELSE excluded.request END",
        (
            portrait.provider,
            portrait.id,
            portrait.name,
            portrait.kind,
            portrait.group_id,
            portrait.status,
            portrait.image_url,
            portrait.created_at or now,
            json.dumps(portrait.models),
            portrait.request,
        ),
    )
    row = db.execute(
        f"SELECT {_COLUMNS}, request FROM portrait WHERE provider = ? AND id = ?",
        (portrait.provider, portrait.id),
    ).fetchone()
    return _portrait(row)


def _identified(db: sqlite3.Connection, id_: str) -> tuple[Portrait, ...]:
    """What has this id, enrolled by its name or by a native call."""
    return (*_by_id(db, id_), *_remembered(db, id_))


def _by_id(db: sqlite3.Connection, id_: str) -> list[Portrait]:
    rows = db.execute(
        f"SELECT {_COLUMNS}, request FROM portrait WHERE id = ?"
        " AND status NOT IN ('enrolling', 'deleted') ORDER BY created_at",
        (id_,),
    )
    return [_portrait(row) for row in rows]


def _remembered(db: sqlite3.Connection, id_: str) -> list[Portrait]:
    rows = db.execute(f"{_REMEMBERED} AND m.id = ? ORDER BY m.created_at", (id_,))
    return [_portrait(row) for row in rows]


def _named(db: sqlite3.Connection, name: str) -> Portrait | None:
    query = f"SELECT {_COLUMNS}, request FROM portrait WHERE name = ?"
    row = db.execute(query, (name,)).fetchone()
    return None if row is None else _portrait(row)


def _placeholder(name: str) -> str:
    """What stands for the id until there is one: no provider's id has a space in it."""
    return f"enrolling {name}"


def _portrait(row: tuple[Any, ...]) -> Portrait:
    provider, id_, name, kind, group_id, status, image_url, created_at, models, *request = row
    return Portrait(
        provider,
        "" if status == ENROLLING else id_,
        name,
        kind,
        group_id,
        status,
        image_url,
        created_at,
        tuple(json.loads(models)),
        *request,
    )
