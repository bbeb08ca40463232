"""Real people: a link for somebody's phone, and whether its owner has shown their face.

    open: a name's session: the one that stands, or a new link from the provider
    serve: list them, show one; for a client that waits, until the person is verified
    vouch: an enrolment of a person waits for the verification, before anything is paid

One provider tells when it is asked, and is asked only for somebody who waits (`watching_people`).
The other tells nobody but the phone, which it sends to a callback (`callback` reads it); whoever
waits hears of it from there.

A name has one session at a provider, and one call at a time is made for it: who asks again gets
the link that lives, or the next one under the same id.
"""

import asyncio
import secrets
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final
from urllib.parse import unquote
from weakref import WeakValueDictionary

import structlog

from proxy.core.config import AUTO
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply, get
from proxy.core.paths import SESSIONS
from proxy.delivery import Delivered
from proxy.media.native import native_session, waits_here
from proxy.media.performing import Perform, Performed
from proxy.media.verification import read_verification, session_reply
from proxy.media.watching import Pace
from proxy.media.watching_people import Glance, News, PeopleWatch
from proxy.providers.lore import NativeCall, Opened, Verification
from proxy.replies import json_reply, told_of_payment
from proxy.store import Ledger, LedgerUnavailableError, portraits, sessions
from proxy.store.names import unknown_session
from proxy.store.sessions import PENDING, VERIFIED, Session
from proxy.visit import Visit

STATE_BYTES: Final = 32

_SUCCESS: Final = range(200, 300)
_GONE: Final = 404
_log = structlog.get_logger()


class Sessions:
    """The stories of real people."""

    def __init__(self, ledger: Ledger, perform: Perform, news: News, pace: Pace) -> None:
        self._ledger = ledger
        self._perform = perform
        self._watch = PeopleWatch(ledger, perform, news, pace)
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def native(self, visit: Visit) -> NativeCall | None:
        """The native call that a new session stands for; None for whatever is none.

        Refused for what cannot be read, and for what the provider's own call cannot express.
        """
        if (visit.request.method, visit.request.path) != ("POST", SESSIONS) or _is_anothers(visit):
            return None
        return self._call(visit, _read(visit), new_state())

    async def open(self, visit: Visit) -> Delivered:
        """Answer with a name's session, which has a link that lives unless it needs none."""
        wanted = _read(visit)
        async with self._turn(visit.provider, wanted.name):
            standing = await self._standing(visit, wanted)
            if standing is None or not self._serves(standing, wanted):
                return await self._begin(visit, wanted, standing)
        visit.story["session"] = standing.id
        return Delivered(await session_reply(standing, self._ledger.now()))

    async def serve(self, visit: Visit) -> Reply | None:
        """Answer what is asked of the sessions that there are; None for anything else."""
        path = visit.request.path
        if visit.request.method != "GET" or _is_anothers(visit):
            return None
        if path == SESSIONS:
            return await self._list()
        id_ = unquote(path.removeprefix(f"{SESSIONS}/"))
        if id_ in (path, "") or "/" in id_:
            return None
        session = await self._asked_for(visit, id_)
        visit.story["session"] = session.id
        aimed = visit.at(session.provider)
        glance = (
            Glance(session) if aimed is None else await self._watch.until_settled(aimed, session)
        )
        return await session_reply(glance.session, self._ledger.now(), glance.response)

    async def vouch(self, visit: Visit) -> None:
        """Refuse to enrol a person whose session, if there is one, is not verified.

        Its provider is asked once more, where it can be.
        """
        group_id = visit.fields.get("group_id")
        if not isinstance(group_id, str):
            return
        of_group = partial(sessions.of_group, provider=visit.provider, group_id=group_id)
        known = await self._ledger.ask(of_group)
        if not known or known[0].status == VERIFIED:
            return
        seen = (await self._watch.look(visit, known[0])).session
        if seen.status != VERIFIED:
            raise Refused(seen.not_verified(self._ledger.now()))

    def _turn(self, provider: str, name: str) -> asyncio.Lock:
        """The lock of a name; it lives for as long as somebody holds it or waits."""
        return self._turns.setdefault((provider, name.lower()), asyncio.Lock())

    async def _standing(self, visit: Visit, wanted: Verification) -> Session | None:
        """The session of a name, if it has one; a portrait's name is not had again."""
        holder = await self._ledger.ask(partial(portraits.holder, name=wanted.name))
        if holder is not None:
            message = f"the name {wanted.name!a} is taken: it is a portrait at {holder.provider}"
            raise Refused(Refusal("portrait_name_taken", message))
        named = partial(sessions.named, provider=visit.provider, name=wanted.name)
        standing = await self._ledger.ask(named)
        if standing is None or self._is_alive(standing):
            return standing
        # Nobody may have looked since the scan: who is verified is not sent through it again.
        return (await self._watch.look(visit, standing)).session

    def _is_alive(self, session: Session) -> bool:
        return session.status_at(self._ledger.now()) in (PENDING, VERIFIED)

    def _serves(self, standing: Session, wanted: Verification) -> bool:
        """Whether a session is what is wanted: verified, or with a link that lives and fits."""
        fits = (standing.callback_url, standing.lang) == _options(wanted)
        return standing.status == VERIFIED or (self._is_alive(standing) and fits)

    async def _begin(
        self, visit: Visit, wanted: Verification, standing: Session | None
    ) -> Delivered:
        """Have the provider make a link, and write it down before the client hears of it."""
        state, before = new_state(), self._ledger.now()
        group_id = None if standing is None else standing.group_id
        done = await self._perform(
            visit, self._call(visit, replace(wanted, group_id=group_id), state)
        )
        opened = visit.lore.session_opened(done.fields) if done.status in _SUCCESS else None
        if opened is None:
            if done.status == _GONE and standing is not None and group_id is not None:
                await self._ledger.ask(partial(sessions.forget_group, session=standing))
            return Delivered(done.reply, done.purchase)
        new = _session(visit, wanted, opened, done, standing, before)
        is_here = waits_here(wanted, visit.config, visit.snapshot.config)
        digest = state_digest(state) if is_here else None
        return await self._entered(visit, new, digest, done)

    async def _entered(
        self, visit: Visit, new: Session, digest: bytes | None, done: Performed
    ) -> Delivered:
        now = self._ledger.now()
        try:
            session = await self._ledger.ask(lambda db: sessions.enter(db, new, digest, now))
        except LedgerUnavailableError as problem:
            if done.purchase is None:
                raise
            # It was paid for: the client gets the provider's answer, and nobody else has it.
            _log.error("session_not_entered", id=new.id, name=new.name, problem=str(problem))
            return Delivered(done.reply, done.purchase)
        visit.story["session"] = session.id
        reply = await session_reply(session, self._ledger.now())
        return Delivered(told_of_payment(reply, done.reply.headers), done.purchase)

    def _call(self, visit: Visit, wanted: Verification, state: str) -> NativeCall:
        """The provider's own call; where nobody else is to be called back, the daemon is."""
        call = native_session(wanted, visit.provider, visit.snapshot.config, state)
        if isinstance(call, Refusal):
            raise Refused(call)
        return call

    async def _list(self) -> Reply:
        now = self._ledger.now()
        found = await self._ledger.read(partial(sessions.listed, now=now))
        return json_reply(200, {"object": "list", "sessions": found})

    async def _asked_for(self, visit: Visit, id_: str) -> Session:
        """The session that a path names; `Refused` if there is none, or it is another's."""
        session = await self._ledger.ask(partial(sessions.find, id_=id_))
        if session is None:
            raise Refused(unknown_session(id_))
        named = get(visit.request.headers, b"farebox-provider") is not None
        if named and session.provider != visit.provider:
            owner = f"session {session.id} is {session.provider}'s"
            message = f"{owner}, but Farebox-Provider says {visit.provider}"
            raise Refused(Refusal("route_conflict", message))
        return session


def new_state() -> str:
    """A secret for a callback's URL."""
    return secrets.token_urlsafe(STATE_BYTES)


def state_digest(state: str) -> bytes:
    """What is kept of it."""
    return sha256(state.encode()).digest()


def _is_anothers(visit: Visit) -> bool:
    """Whether a route gives these paths to somebody's own service."""
    return visit.route.provider != AUTO and not visit.lore.portrait_models


def _read(visit: Visit) -> Verification:
    wanted = read_verification(visit.fields)
    if isinstance(wanted, Refusal):
        raise Refused(wanted)
    return wanted


def _options(wanted: Verification) -> tuple[str, str]:
    return wanted.callback_url or "", wanted.lang or ""


def _session(
    visit: Visit,
    wanted: Verification,
    opened: Opened,
    done: Performed,
    standing: Session | None,
    before: int,
) -> Session:
    """What a provider's answer makes of a name; its link lives from before it was asked for."""
    callback_url, lang = _options(wanted)
    return Session(
        id=f"ps_{secrets.token_hex(10)}" if standing is None else standing.id,
        provider=visit.provider,
        name=wanted.name if standing is None else standing.name,
        h5_link=opened.link,
        expires_at=before + opened.expires_in_s,
        group_id=opened.group_id,
        callback_url=callback_url,
        lang=lang,
        response=done.fields,
        created_at=before if standing is None else standing.created_at,
    )
