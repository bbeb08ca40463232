"""The book of verifications: which real people were asked to show their faces, and who has.

A person is one row by provider and name, whatever number of links it takes. A link of a provider
that calls back has a state, a secret in the callback's URL, of which only the hash is here. It is
good for one result, until a while after its link has died; the first success ends all states of its
session. Who is verified stays so: nothing that comes later takes it back.

A link that was replaced can still bring a success, but not a failure: its successor is out.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from proxy.core import strict_json
from proxy.core.errors import Refusal
from proxy.core.paths import SESSIONS

PENDING: Final = "pending"
VERIFIED: Final = "verified"
FAILED: Final = "failed"
EXPIRED: Final = "expired"
STATE_GRACE_S: Final = 600
"""Who opened a link in its last minute still has to finish the scan."""

RESPONSE_CHARS_MAX: Final = 8192
"""Providers answer with a few hundred; more is not kept."""

LIST_MAX: Final = 1000
"""More rows than a person reads; the newest are shown."""

_COLUMNS: Final = (
    "id, provider, name, h5_link, expires_at, status, group_id, reason, callback_url, lang,"
    " response, created_at"
)


@dataclass(frozen=True, slots=True)
class Session:
    """One person's verification.

    `callback_url` and `lang` are what the client asked of its link, empty where it asked nothing;
    `response` is what the provider said last. Times are Unix seconds.
    """

    id: str
    provider: str
    name: str
    h5_link: str
    expires_at: int
    status: str = PENDING
    group_id: str | None = None
    reason: str = ""
    callback_url: str = ""
    lang: str = ""
    response: Mapping[str, Any] = field(default_factory=dict)
    created_at: int = 0

    def status_at(self, now: int) -> str:
        """How it stands; one whose link died before anybody was verified is expired."""
        return EXPIRED if self.status == PENDING and now >= self.expires_at else self.status

    def shown(self, now: int) -> dict[str, Any]:
        """As clients see it; a group and a reason only where there are any."""
        group = {} if self.group_id is None else {"group_id": self.group_id}
        reason = {"reason": self.reason} if self.reason else {}
        return {
            "object": "portrait.session",
            "id": self.id,
            "provider": self.provider,
            "name": self.name,
            "status": self.status_at(now),
            "h5_link": self.h5_link,
            "expires_at": self.expires_at,
            "created_at": self.created_at,
            **group,
            **reason,
            "provider_response": dict(self.response),
        }

    def not_verified(self, now: int) -> Refusal:
        """Why nobody can be enrolled by it yet."""
        message = (
            f"{self.name!a} ({self.id}) is {self.status_at(now)}, not verified; nothing was paid. "
            f"POST the name to {SESSIONS} for a link, and have the person open it"
        )
        return Refusal("portrait_not_verified", message)


def find(db: sqlite3.Connection, id_: str) -> Session | None:
    """The session of an id; a text that no file could hold is none."""
    return _one(db, "id = ?", id_) if id_.isprintable() else None


def named(db: sqlite3.Connection, provider: str, name: str) -> Session | None:
    """The session of a name, in any case, at a provider."""
    return _one(db, "provider = ? AND name = ?", provider, name)


def of_group(db: sqlite3.Connection, provider: str, group_id: str) -> tuple[Session, ...]:
    """The sessions of a person's group at a provider, verified ones first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM session WHERE provider = ? AND group_id = ?"
        " ORDER BY status = 'verified' DESC, created_at DESC",
        (provider, group_id),
    )
    return tuple(_session(row) for row in rows)


def owners(db: sqlite3.Connection, group_id: str) -> tuple[str, ...]:
    """The providers that gave out a group: to a session, or with a portrait."""
    rows = db.execute(
        "SELECT provider FROM session WHERE group_id = ?1"
        " UNION SELECT provider FROM portrait WHERE group_id = ?1 ORDER BY provider",
        (group_id,),
    )
    return tuple(provider for (provider,) in rows)


def enter(db: sqlite3.Connection, session: Session, state: bytes | None, now: int) -> Session:
    """Write down a new link, with the hash of its state if it has one.

    Somebody who was verified in the meantime, by an older link, stays so: that is what it gives.
    """
    db.execute("DELETE FROM session_state WHERE expires_at <= ?", (now,))
    db.execute(
        f"INSERT INTO session ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 'pending', ?, '', ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET h5_link = excluded.h5_link, status = 'pending',"
        " expires_at = excluded.expires_at, group_id = excluded.group_id, reason = '',"
        " callback_url = excluded.callback_url, lang = excluded.lang, response = excluded.response"
        " WHERE status <> 'verified'",
        (
            session.id,
            session.provider,
            session.name,
            session.h5_link,
            session.expires_at,
            session.group_id,
            session.callback_url,
            session.lang,
            _kept(session.response),
            session.created_at or now,
        ),
    )
    entered = _standing(db, session.id)
    if state is not None and entered.status == PENDING:
        db.execute(
            "INSERT INTO session_state (sha256, session, h5_link, expires_at) VALUES (?, ?, ?, ?)",
            (state, session.id, session.h5_link, session.expires_at + STATE_GRACE_S),
        )
    return entered


def verify(db: sqlite3.Connection, session: Session, response: Mapping[str, Any]) -> Session:
    """Write down that a person is verified, who was asked after by the group."""
    db.execute(
        "UPDATE session SET status = 'verified', reason = '', response = ?"
        " WHERE id = ? AND group_id = ?",
        (_kept(response), session.id, session.group_id),
    )
    return _standing(db, session.id)


def forget_group(db: sqlite3.Connection, session: Session) -> None:
    """Forget a group that its provider does not know any more: the next link begins anew."""
    db.execute(
        "UPDATE session SET group_id = NULL WHERE id = ? AND status <> 'verified'", (session.id,)
    )


def conclude(
    db: sqlite3.Connection, state: bytes, group_id: str | None, reason: str, now: int
) -> Session | None:
    """Use up a state, by its hash, for a scan's result: the session as it is then.

    None, and nothing is changed, for a state that is unknown, used or expired.
    """
    row = db.execute(
        "SELECT session, h5_link FROM session_state WHERE sha256 = ? AND expires_at > ?",
        (state, now),
    ).fetchone()
    if row is None:
        return None
    id_, link = row
    if group_id is None:
        db.execute("DELETE FROM session_state WHERE sha256 = ?", (state,))
        db.execute(
            "UPDATE session SET status = 'failed', reason = ?"
            " WHERE id = ? AND h5_link = ? AND status = 'pending'",
            (reason, id_, link),
        )
    else:
        db.execute("DELETE FROM session_state WHERE session = ?", (id_,))
        db.execute(
            "UPDATE session SET status = 'verified', group_id = ?, reason = '' WHERE id = ?",
            (group_id, id_),
        )
    return _standing(db, id_)


def presentable(response: Mapping[str, Any]) -> dict[str, Any]:
    """A provider's answer as clients see it, at once or later."""
    kept: dict[str, Any] = json.loads(_kept(response))
    return kept


def listed(db: sqlite3.Connection, now: int, *, limit: int = LIST_MAX) -> list[dict[str, Any]]:
    """Every session as it is shown, newest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM session ORDER BY created_at DESC, rowid DESC LIMIT ?", (limit,)
    )
    return [_session(row).shown(now) for row in rows]


def _one(db: sqlite3.Connection, where: str, *values: str) -> Session | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM session WHERE {where}", values).fetchone()
    return None if row is None else _session(row)


def _standing(db: sqlite3.Connection, id_: str) -> Session:
    row = db.execute(f"SELECT {_COLUMNS} FROM session WHERE id = ?", (id_,)).fetchone()
    return _session(row)


def _session(row: tuple[Any, ...]) -> Session:
    *known, response, created_at = row
    return replace(Session(*known), response=json.loads(response), created_at=created_at)


def _kept(response: Mapping[str, Any]) -> str:
    """A provider's answer as it is kept; what is too long, or means nothing to others, is empty."""
    try:
        text = json.dumps(dict(response))
        if len(text) <= RESPONSE_CHARS_MAX:
            strict_json.loads(text)
            return text
    except (ValueError, RecursionError):
        pass
    return "{}"
