"""Receiving a request: which route, which provider, and is its body kept?

A body is kept where it may have to be sent twice, or where it says to which provider the request
belongs; every other one streams through unheld. It is read to its end before anything is sent, and
past the limit the request is refused here.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.core.config import AUTO
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Request, get
from proxy.core.ledger import Limit
from proxy.core.money import parse_usd
from proxy.core.paths import ENROL, SESSIONS
from proxy.core.policy import pays
from proxy.core.routing import Decision, Signs, decide, find_route, fixed
from proxy.core.videos import with_usual_model
from proxy.payer import CALL_SCOPE
from proxy.replies import json_answer
from proxy.spool import Spool
from proxy.store import Ledger
from proxy.store.names import Asked, Named, make_out, nothing_named
from proxy.store.sessions import Session
from proxy.visit import Snapshot, Visit

BODY_METHODS: Final = ("POST", "PUT", "PATCH")


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
                await visit.spool.fill(request.body, snapshot.config.limits.body_bytes_max)
                visit.fields = _fields(visit.spool)
            decision = await self._decide(visit)
        except BaseException:
            visit.close()
            raise
        visit.provider = decision.provider
        self._name_model(visit)
        visit.story.update(provider=decision.provider, route=route.path, why=decision.reason)
        return visit

    def _keeps_body(self, visit: Visit) -> bool:
        """Whether a body may be sent twice.

        Decides the provider, or names what the price table prices.
        """
        request = visit.request
        if request.body.length == 0:
            return False
        if visit.route.provider == AUTO or _is_of_portraits(visit):
            return True
        needs_fields = visit.config.auth is not None and request.method in BODY_METHODS
        return needs_fields or pays(visit.config, visit.route, request.method)

    def _name_model(self, visit: Visit) -> None:
        """Where a video names no model, put its provider's usual one."""
        request, model = visit.request, visit.config.default_video_model
        fields = with_usual_model(request.method, request.path, visit.fields, model)
        if fields is not visit.fields:
            self._rewrite(visit, dict(fields))

    def _rewrite(self, visit: Visit, fields: dict[str, Any]) -> None:
        visit.close()
        visit.spool = Spool.of(self._spool_dir, json.dumps(fields).encode())
        visit.fields = fields

    async def _decide(self, visit: Visit) -> Decision:
        """Where a request goes; what it calls by a name is put into its provider's shape."""
        header = get(visit.request.headers, b"farebox-provider")
        provider = None if header is None else header.decode("latin-1").strip()
        config, is_open = visit.snapshot.config, visit.route.provider == AUTO
        named = await self._made_out(visit, provider)
        if named.fields is not visit.fields:
            self._rewrite(visit, dict(named.fields))
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


def _is_of_portraits(visit: Visit) -> bool:
    """Whether it enrols, or begins to, at a provider that has portraits."""
    asked = (visit.request.method, visit.request.path)
    return asked in (("POST", ENROL), ("POST", SESSIONS)) and _has_portraits(visit)


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


def _fields(spool: Spool) -> dict[str, Any]:
    small = spool.small()
    return {} if small is None else json_answer(small)


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
