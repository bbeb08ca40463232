"""Receiving a request: which route, which provider, and is its body kept?

A body is kept where it may have to be sent twice, or where it says to which provider the request
belongs; every other one streams through unheld. It is read to its end before anything is sent, and
past the limit the request is refused here.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from proxy.core.config import AUTO
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Request, get
from proxy.core.ledger import Limit
from proxy.core.money import parse_usd
from proxy.core.policy import pays
from proxy.core.routing import Decision, Signs, body_signs, decide, find_route, fixed, job_id
from proxy.payer import CALL_SCOPE
from proxy.replies import json_answer
from proxy.spool import Spool
from proxy.store import Ledger
from proxy.store.portraits import Portrait
from proxy.visit import Snapshot, Visit

VIDEOS: Final = "/v1/videos/generations"
BODY_METHODS: Final = ("POST", "PUT", "PATCH")


class Reception:
    """Turns requests into visits."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        spool_dir: Path,
        named: Callable[[str], Awaitable[Portrait | Refusal]],
    ) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._spool_dir = spool_dir
        self._named = named

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
                await self._call_by_name(visit, visit.spool)
            decision = await self._decide(visit)
        except BaseException:
            visit.close()
            raise
        visit.provider = decision.provider
        visit.story.update(provider=decision.provider, route=route.path, why=decision.reason)
        return visit

    def _keeps_body(self, visit: Visit) -> bool:
        """Whether a body may be sent twice.

        Decides the provider, or names what the price table prices.
        """
        request = visit.request
        if request.body.length == 0:
            return False
        if visit.route.provider == AUTO:
            return True
        needs_fields = visit.config.auth is not None and request.method in BODY_METHODS
        return needs_fields or pays(visit.config, visit.route, request.method)

    async def _call_by_name(self, visit: Visit, spool: Spool) -> None:
        """Where a video names a portrait, put its id there, and its provider's usual model."""
        fields = dict(visit.fields)
        name = fields.pop("portrait", None)
        if name is None or (visit.request.method, visit.request.path) != ("POST", VIDEOS):
            return
        if not isinstance(name, str) or "real_face_asset_id" in fields:
            message = "portrait is a name, and stands in place of real_face_asset_id"
            raise Refused(Refusal("bad_request", message))
        portrait = await self._named(name)
        if isinstance(portrait, Refusal):
            raise Refused(portrait)
        fields["real_face_asset_id"] = portrait.id
        provider = visit.snapshot.config.providers.get(portrait.provider)
        if provider is not None and provider.default_video_model is not None:
            fields.setdefault("model", provider.default_video_model)
        spool.close()
        visit.spool = Spool.of(self._spool_dir, json.dumps(fields).encode())
        visit.fields = fields
        visit.story["portrait"] = portrait.id

    async def _decide(self, visit: Visit) -> Decision:
        header = get(visit.request.headers, b"farebox-provider")
        named = None if header is None else header.decode("latin-1").strip()
        config = visit.snapshot.config
        if visit.route.provider != AUTO:
            decision = fixed(visit.route, named, config)
        else:
            decision = decide(await self._signs(visit, named), config)
        if isinstance(decision, Refusal):
            raise Refused(decision)
        return decision

    async def _signs(self, visit: Visit, named: str | None) -> Signs:
        model, assets = body_signs(visit.fields)
        job = job_id(visit.request.path)
        ids = [("asset", asset) for asset in assets] + ([] if job is None else [("job", job)])
        owners: dict[str, tuple[str, ...]] = {}
        for kind, id_ in ids:
            known = await self._ledger.recall(kind, id_)
            if known:
                owners[id_] = tuple(memory.provider for memory in known)
        return Signs(visit.request.path, named, model, assets, owners)


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
