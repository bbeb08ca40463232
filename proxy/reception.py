"""Receiving a request: which route, which provider, and is its body kept?

A body is kept where it may have to be sent twice, or where it says to which provider the request
belongs; every other one streams through unheld. It is taken in to its end before anything is sent,
and past the limit the request is refused here.

A video, an enrolment or a session names whom and what it means in words that only this daemon
knows. One whose body cannot be read here is refused: it would be sent on, and paid for, as if it
named nobody.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.core.bodies import COMPRESSED, READ_BYTES_MAX, TOO_LONG, Unread, is_compressed, read_body
from proxy.core.config import AUTO
from proxy.core.errors import Refusal, Refused
from proxy.core.http import OF_A_BODY, Request, get, without
from proxy.core.ledger import Limit
from proxy.core.money import parse_usd
from proxy.core.paths import ENROL, JOBS, SESSIONS
from proxy.core.policy import pays
from proxy.core.routing import Decision, Signs, decide, find_route, fixed
from proxy.core.videos import with_usual_model
from proxy.payer import CALL_SCOPE
from proxy.spool import Spool
from proxy.store import Ledger
from proxy.store.names import Asked, Named, make_out, nothing_named
from proxy.store.sessions import Session
from proxy.visit import Snapshot, Visit

BODY_METHODS: Final = ("POST", "PUT", "PATCH")
_ON_LOOP_BYTES_MAX: Final = 65_536
"""The most intricate of that size take some milliseconds; longer bodies are read off the loop."""

_WHY_CHARS_MAX: Final = 200
"""How much of why it goes there a request's log line tells: a client's word may be in it."""


class Reception:
    """Turns requests into visits."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        spool_dir: Path,
    ) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._spool_dir = spool_dir

    async def receive(self, request: Request) -> Visit:
        """Find out where a request goes and under what; `Refused` if nowhere.

        The visit is the caller's to close.
        """
        snapshot = self._snapshot()
        route = find_route(snapshot.config, request.path)
        if isinstance(route, Refusal):
            raise Refused(route)
        visit = Visit(
            request,
            snapshot,
            self._snapshot,
            route,
            route.provider,
            None,
            {},
            _call_limits(request),
        )
        try:
            if self._keeps_body(visit):
                visit.spool = Spool(self._spool_dir)
                await self._take_in(visit, visit.spool)
            decision = await self._decide(visit)
            await self._aim(visit, decision.provider)
        except BaseException:
            visit.close()
            raise
        why = decision.reason[:_WHY_CHARS_MAX]
        visit.story.update(provider=decision.provider, route=route.path, why=why)
        return visit

    def _keeps_body(self, visit: Visit) -> bool:
        """Whether a body may be sent twice, decides the provider, or names what a table prices."""
        request = visit.request
        if request.body.length == 0:
            return False
        if visit.route.provider == AUTO or _is_common(visit):
            return True
        config = visit.config
        is_keyed = config.auth is not None or config.prices is not None
        needs_fields = is_keyed and request.method in BODY_METHODS
        return needs_fields or pays(config, visit.route, request.method)

    async def _take_in(self, visit: Visit, spool: Spool) -> None:
        """Keep a body, and read what it says if everybody reads the same in it."""
        bytes_max, is_common = visit.snapshot.config.limits.body_bytes_max, _is_common(visit)
        await spool.fill(
            visit.request.body, min(bytes_max, READ_BYTES_MAX) if is_common else bytes_max
        )
        visit.sent_sha256 = spool.sha256
        said = await _read(visit.request, spool)
        if not isinstance(said, Unread):
            visit.fields = said
            return
        visit.unread = said
        if is_common and not said.says_nothing:
            raise Refused(_unreadable(said))

    async def _aim(self, visit: Visit, provider: str) -> None:
        """Send it to a provider; where a video names no model, put the usual one there."""
        visit.provider = provider
        if visit.unread is not None and _is_written_anew(visit):
            raise Refused(_unreadable(visit.unread))
        request, model = visit.request, visit.config.default_video_model
        fields = with_usual_model(request.method, request.path, visit.fields, model)
        if fields is not visit.fields:
            await self._rewrite(visit, dict(fields))

    async def _rewrite(self, visit: Visit, fields: dict[str, Any]) -> None:
        """Write a body anew; what the client's headers say of its own goes with that."""
        headers = without(visit.request.headers, OF_A_BODY)
        json_type = (b"Content-Type", b"application/json")
        visit.request = replace(visit.request, headers=(*headers, json_type))
        visit.close()
        visit.spool = Spool.of(self._spool_dir, json.dumps(fields).encode())
        visit.fields = fields
        await visit.spool.settle()

    async def _decide(self, visit: Visit) -> Decision:
        """Where a request goes; what it calls by a name is put into its provider's shape."""
        header = get(visit.request.headers, b"farebox-provider")
        provider = None if header is None else header.decode("latin-1").strip()
        config, is_open = visit.snapshot.config, visit.route.provider == AUTO
        named = await self._made_out(visit, provider)
        if named.fields is not visit.fields:
            await self._rewrite(visit, dict(named.fields))
        visit.story.update(named.story)
        decision = decide(named.signs, config) if is_open else fixed(visit.route, provider, config)
        if isinstance(decision, Refusal):
            raise Refused(decision)
        if named.person is not None:
            _admit(named.person, decision, self._ledger.now())
        return decision

    async def _made_out(self, visit: Visit, provider: str | None) -> Named:
        request, config = visit.request, visit.snapshot.config
        asked = Asked(request.method, request.path, visit.fields, provider, _has_portraits(visit))
        if visit.route.provider != AUTO and not asked.names_somebody:
            return Named(visit.fields, Signs(request.path))  # the route decides: no sign counts
        if (named := nothing_named(asked)) is not None:
            return named
        found = await self._ledger.ask(partial(make_out, asked=asked, config=config))
        if isinstance(found, Refusal):
            raise Refused(found)
        return found


def _is_common(visit: Visit) -> bool:
    """Whether it is a video, an enrolment or a session, of providers that have portraits."""
    is_one = visit.request.method == "POST" and visit.request.path in (JOBS, ENROL, SESSIONS)
    return is_one and _has_portraits(visit)


def _is_written_anew(visit: Visit) -> bool:
    """Whether it is made as another call, so that its provider never sees the body that came."""
    return _is_common(visit) and (visit.lore.translates or visit.request.path == SESSIONS)


def _has_portraits(visit: Visit) -> bool:
    """Whether its route leads to providers that have portraits, or to one that has."""
    return visit.route.provider == AUTO or bool(visit.lore.portrait_models)


def _admit(person: Session, decision: Decision, now: int) -> None:
    """Refuse what would go to another provider than the person's, or names nobody verified."""
    if decision.provider != person.provider:
        message = f"session {person.id} is {person.provider}'s, but {decision.reason} decides"
        raise Refused(Refusal("route_conflict", message))
    if person.group_id is None:
        raise Refused(person.not_verified(now))


async def _read(request: Request, spool: Spool) -> dict[str, Any] | Unread:
    if not spool.length:
        return {}
    if is_compressed(request.headers):
        return COMPRESSED
    body = await spool.whole(READ_BYTES_MAX)
    if body is None:
        return TOO_LONG
    if len(body) <= _ON_LOOP_BYTES_MAX:
        return read_body(body)
    return await asyncio.to_thread(read_body, body)


def _unreadable(body: Unread) -> Refusal:
    message = f"the body cannot be read: {body.why}. Send one JSON object, as it is, in UTF-8"
    return Refusal("bad_request", message)


def _call_limits(request: Request) -> tuple[Limit, ...]:
    """The cap that the client itself sets for this call."""
    value = get(request.headers, b"farebox-max-amount")
    if value is None:
        return ()
    usd = parse_usd(value.decode("latin-1").strip())
    if usd is None:
        raise Refused(
            Refusal("bad_request", "Farebox-Max-Amount is an amount of dollars such as 0.50")
        )
    return (Limit(CALL_SCOPE, "call", usd),)
