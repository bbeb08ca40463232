"""Portraits in one place: enrolled anywhere, called by a name.

    enrol: reserve the name, make the provider's call, enter what it gave out in the book
    follow: ask until the portrait is ready, for a client that waits
    serve: list, show and delete; the own wallet's lists

A name is taken before the provider is called, and given back if nothing comes of it. Asking goes on
only for somebody who waits: a hang-up leaves the portrait in the book as `processing`, and the next
GET asks again.
"""

import re
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from proxy.core.config import AUTO
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply, get
from proxy.core.paths import ENROL, PORTRAITS
from proxy.delivery import Delivered
from proxy.media.enrolment import (
    enrolled_before,
    enrolment_reply,
    name_taken,
    portrait_of,
    read_enrolment,
)
from proxy.media.native import native_enrolment, native_removal
from proxy.media.performing import Perform
from proxy.media.wallet_lists import WalletLists
from proxy.media.watching import Pace, Seen, Watch
from proxy.providers.lore import Enrolment, NativeCall
from proxy.replies import json_reply
from proxy.store import Ledger, LedgerUnavailableError, portraits
from proxy.store.names import asked_for, portrait_word
from proxy.store.portraits import PROCESSING, UNKNOWN, Portrait
from proxy.visit import Visit
from proxy.waiting import WAIT_S, preference

_log = structlog.get_logger()
_WALLET: Final = re.compile(r"/v1/wallet/me/(portraits|realfaces)")
_SUCCESS: Final = range(200, 300)
_ACCEPTED: Final = 202
_GONE: Final = 404


class Portraits:
    """The stories of portraits."""

    def __init__(
        self,
        ledger: Ledger,
        perform: Perform,
        pace: Pace | None = None,
    ) -> None:
        self._ledger = ledger
        self._perform = perform
        self._pace = Pace() if pace is None else pace
        self._watch = Watch(ledger, perform, self._pace)
        self._lists = WalletLists(ledger, perform, self._pace.clock)

    def native(self, visit: Visit) -> NativeCall | None:
        """The native call that an enrolment stands for; None for whatever is none.

        Refused for what the provider's own call cannot express. What is wrong with a body that need
        not be written anew is for its provider to say.
        """
        if (visit.request.method, visit.request.path) != ("POST", ENROL):
            return None
        call = native_enrolment(visit.fields, visit.config)
        if isinstance(call, Refusal):
            raise Refused(call)
        return call

    async def in_the_way(self, visit: Visit) -> Refusal | None:
        """Whoever has the name that an enrolment wants, for a dry run of it."""
        name = str(visit.fields.get("name"))
        standing = await self._ledger.ask(partial(portraits.holder, name=name))
        return None if standing is None else name_taken(visit, standing)

    async def enrol(self, visit: Visit, call: NativeCall) -> Delivered:
        """Enrol a portrait under its name; what was begun is to be done to its end."""
        wanted = read_enrolment(visit.fields, strict=False)
        if isinstance(wanted, Refusal):
            raise Refused(wanted)
        name, now = wanted.name, self._ledger.now()
        standing = await self._ledger.ask(
            lambda db: portraits.reserve(db, visit.provider, name, now)
        )
        if standing is not None:
            return Delivered(enrolled_before(visit, standing))
        try:
            return await self._enter(visit, call, wanted)
        except BaseException:
            with suppress(LedgerUnavailableError):  # the next start frees it then
                await self._ledger.ask(partial(portraits.release, name=name))
            raise

    async def _enter(self, visit: Visit, call: NativeCall, wanted: Enrolment) -> Delivered:
        """Make the call, and write down what it gave out before the client hears of it."""
        done = await self._perform(visit, call)
        found = visit.lore.likeness(done.fields) if done.status in _SUCCESS else None
        if found is None:
            await self._ledger.ask(partial(portraits.release, name=wanted.name))
            return Delivered(done.reply, done.purchase)
        new = portrait_of(visit, wanted, found, done.fields)
        now = self._ledger.now()
        try:
            portrait = await self._ledger.ask(lambda db: portraits.enter(db, new, now))
        except LedgerUnavailableError as problem:
            # It may be paid for: the client gets the provider's answer, and nobody else has it.
            _log.error("portrait_not_entered", id=new.id, name=new.name, problem=str(problem))
            return Delivered(done.reply, done.purchase)
        visit.story["portrait"] = portrait.id
        if not visit.lore.translates:
            return Delivered(done.reply, done.purchase)
        reply = enrolment_reply(portrait, done.fields, done.reply.headers)
        return Delivered(reply, done.purchase)

    async def follow(self, visit: Visit, reply: Reply) -> Reply:
        """Wait until a portrait that was just enrolled is ready, or has failed.

        The last 202 when the time is up.
        """
        prefer = preference(visit.request)
        if reply.status != _ACCEPTED or prefer.respond_async or not visit.lore.translates:
            return reply
        name = str(visit.fields.get("name"))
        known = await self._ledger.ask(partial(portraits.find, word=name))
        mine = next((each for each in known if each.request == visit.fingerprint), None)
        if mine is None:
            return reply
        wait_s = WAIT_S if prefer.wait_s is None else prefer.wait_s
        seen = await self._watch.until_settled(
            visit, Seen(mine, None, self._pace.between_s(())), wait_s
        )
        if seen.response is None and seen.portrait.status == PROCESSING:
            return reply
        return enrolment_reply(seen.portrait, seen.response, reply.headers)

    async def serve(self, visit: Visit) -> Reply | None:
        """Answer what is asked of portraits that are there; None for anything else."""
        method, path = visit.request.method, visit.request.path
        if visit.route.provider != AUTO and not visit.lore.portrait_models:
            return None
        if method == "GET" and (listing := _WALLET.fullmatch(path)) is not None:
            return await self._lists.show(visit, listing[1])
        if method == "GET" and path == PORTRAITS:
            return json_reply(200, {"object": "list"} | await self._ledger.read(portraits.listed))
        word = portrait_word(path)
        if word is None or method not in ("GET", "DELETE"):
            return None
        portrait = await self._asked_for(visit, word)
        visit.story["portrait"] = portrait.id
        return await (self._show if method == "GET" else self._delete)(visit, portrait)

    async def _show(self, visit: Visit, portrait: Portrait) -> Reply:
        """Show one portrait; what is not settled yet is asked after, once or for `wait=N`."""
        seen, aimed = Seen(portrait), visit.at(portrait.provider)
        if portrait.status in (PROCESSING, UNKNOWN) and aimed is not None:
            seen = await self._watch.look(aimed, seen)
            seen = await self._watch.until_settled(
                aimed, seen, preference(visit.request).wait_s or 0
            )
        said = {} if seen.response is None else {"provider_response": dict(seen.response)}
        return json_reply(200, seen.portrait.shown() | said)

    async def _delete(self, visit: Visit, portrait: Portrait) -> Reply:
        """Delete a portrait at its provider, and then from the book; gone there already is fine."""
        aimed = visit.at(portrait.provider)
        if aimed is None:
            message = f"{portrait.id} is {portrait.provider}'s, which is not configured"
            raise Refused(Refusal("no_route", message))
        call = native_removal(portrait, aimed.config)
        if isinstance(call, Refusal):
            raise Refused(call)
        done = await self._perform(aimed, call)
        if done.status not in _SUCCESS and done.status != _GONE:
            return done.reply
        now = self._ledger.now()
        await self._ledger.ask(lambda db: portraits.delete(db, portrait, now))
        told = {"id": portrait.id, "provider": portrait.provider, "name": portrait.name}
        response = {"provider_response": dict(done.fields)}
        return json_reply(200, {"object": "portrait", **told, "deleted": True, **response})

    async def _asked_for(self, visit: Visit, word: str) -> Portrait:
        """The portrait that a path names; `Refused` if there is none, or it is another's."""
        is_said = get(visit.request.headers, b"farebox-provider") is not None
        named = partial(asked_for, word=word, provider=visit.provider if is_said else None)
        found = await self._ledger.ask(named)
        if isinstance(found, Refusal):
            raise Refused(found)
        return found
