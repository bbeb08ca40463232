"""What the daemon answers from its own books, as `farebox check --explain` foretells it.

Lists, portraits, people and jobs stand in the ledger. What is at its end there is answered from it;
else the provider whose it is is asked, by a call of its own.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from proxy.core.config import Config
from proxy.core.errors import Refusal
from proxy.core.paths import PORTRAITS, SESSIONS, VIDEOS
from proxy.core.routing import Decision, asked_job
from proxy.media.native import native_removal
from proxy.providers import LORE
from proxy.providers.lore import Lore, NativeCall
from proxy.store import sessions
from proxy.store.memory import recall
from proxy.store.names import Asked, asked_for, portrait_word, unknown_session
from proxy.store.portraits import PROCESSING, UNKNOWN, Portrait
from proxy.store.sessions import VERIFIED

NOBODY_ASKED: Final = "from the daemon's own books; no provider is asked"


@dataclass(frozen=True, slots=True)
class Own:
    """An answer of the daemon's: `call` is what it asks `provider`, where it has to ask."""

    provider: str = ""
    call: NativeCall | None = None
    named: Mapping[str, str] = field(default_factory=dict)
    why: str = "it gave that out"

    @property
    def whose(self) -> dict[str, str]:
        """Whose the thing is that was asked for; nothing, for a list."""
        if not self.provider:
            return {}
        return {"provider": self.provider, "why": self.why, **self.named}


def own_answer(
    db: sqlite3.Connection, asked: Asked, config: Config, decision: Decision, *, adapted: bool
) -> Own | Refusal | None:
    """How the books answer a request that was routed so; None for one that they do not.

    `adapted` where calls of OpenAI's shape are the daemon's.
    """
    if asked.method in ("GET", "HEAD") and asked.path == VIDEOS and adapted:
        return Own()
    if asked.method == "GET" and (job := asked_job(asked.path)) is not None:
        return _of_job(db, job, config, decision)
    return _of_book(db, asked, config) if asked.enrols else None


def _of_book(db: sqlite3.Connection, asked: Asked, config: Config) -> Own | Refusal | None:
    """How the books of portraits and of people answer."""
    if asked.method == "GET" and asked.path in (PORTRAITS, SESSIONS):
        return Own()
    session = asked.path.removeprefix(f"{SESSIONS}/")
    if asked.method == "GET" and session not in (asked.path, "") and "/" not in session:
        return _of_session(db, unquote(session), config)
    word = portrait_word(asked.path)
    if word is None or asked.method not in ("GET", "DELETE"):
        return None
    portrait = asked_for(db, word, asked.header)
    if isinstance(portrait, Refusal):
        return portrait
    return (_look if asked.method == "GET" else _removal)(portrait, config)


def _of_job(db: sqlite3.Connection, job: str, config: Config, decision: Decision) -> Own | None:
    provider, why = decision.provider, decision.reason
    known = next((each for each in recall(db, "job", job) if each.provider == provider), None)
    lore = LORE[config.providers[provider].kind]
    if known is None or (known.payment is None and not lore.translates):
        return None
    if known.answer is not None:
        return Own(provider, why=why)
    # A job that is paid for is polled as it stands, with its own payment.
    return Own(provider, lore.video_poll(job), why=why) if lore.translates else None


def _of_session(db: sqlite3.Connection, id_: str, config: Config) -> Own | Refusal:
    session = sessions.find(db, id_)
    if session is None:
        return unknown_session(id_)
    lore = _lore(config, session.provider)
    group_id = None if session.status == VERIFIED else session.group_id
    call = None if lore is None or group_id is None else lore.session_poll(group_id)
    return Own(session.provider, call, {"session": session.id})


def _look(portrait: Portrait, config: Config) -> Own:
    lore = _lore(config, portrait.provider)
    is_open = portrait.status in (PROCESSING, UNKNOWN) and portrait.id
    call = lore.portrait_poll(portrait.id) if lore is not None and is_open else None
    return Own(portrait.provider, call, {"portrait": portrait.id})


def _removal(portrait: Portrait, config: Config) -> Own | Refusal:
    provider = config.providers.get(portrait.provider)
    if provider is None:
        message = f"{portrait.id} is {portrait.provider}'s, which is not configured"
        return Refusal("no_route", message)
    call = native_removal(portrait, provider)
    if isinstance(call, Refusal):
        return call
    return Own(portrait.provider, call, {"portrait": portrait.id})


def _lore(config: Config, provider: str) -> Lore | None:
    known = config.providers.get(provider)
    return None if known is None else LORE[known.kind]
