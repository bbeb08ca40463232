"""Where a request would go and why, by the config and the ledger's memory; nothing is sent."""

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from proxy.configfile import Loaded
from proxy.core.config import AUTO, Config, ProviderConfig, RouteConfig
from proxy.core.errors import Refusal
from proxy.core.money import format_usd
from proxy.core.policy import limits, pays, table_price
from proxy.core.routing import (
    Decision,
    Signs,
    body_signs,
    decide,
    find_route,
    fixed,
    job_id,
    plain,
    upstream_url,
)
from proxy.gate.paths import path_problem
from proxy.store.memory import recall
from proxy.store.schema import FILE_NAME, connect


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it might come in: `target` is path and query, header names are lower-case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path as routes see it."""
        return plain(self.target.partition("?")[0])


def explain(loaded: Loaded, call: Call) -> dict[str, Any]:
    """Tell where a call would go; one that is refused has `code` and `message` instead."""
    if problem := path_problem(call.target.partition("?")[0]):
        return _refused(Refusal("bad_path", problem))
    config = loaded.config
    route = find_route(config, call.path)
    if isinstance(route, Refusal):
        return _refused(route)
    header = call.headers.get("farebox-provider")
    if route.provider == AUTO:
        model, assets = body_signs(call.fields)
        owners = _owners(loaded.state_dir / FILE_NAME, call.path, assets)
        decision = decide(Signs(call.path, header, model, assets, owners), config)
    else:
        decision = fixed(route, header, config)
    if isinstance(decision, Refusal):
        return {"route": route.path, **_refused(decision)}
    return _story(call, config, route, decision)


def in_words(call: Call, story: Mapping[str, Any]) -> str:
    """Write an explanation for people."""
    lines = [f"{call.method} {call.target}"]
    lines += [f"  {name:<9} {story[name]}" for name in _SHOWN if name in story]
    lines += [
        f"  cap       ${c['limit']} {c['window']} ({c['scope']})" for c in story.get("caps", ())
    ]
    if "code" in story:
        lines.append(f"  refused   {story['code']}: {story['message']}")
    return "\n".join(lines)


_SHOWN = ("route", "provider", "why", "upstream", "payment", "price")


def _story(call: Call, config: Config, route: RouteConfig, decision: Decision) -> dict[str, Any]:
    provider = config.providers[decision.provider]
    target = plain(call.target)
    return {
        "route": route.path,
        "provider": decision.provider,
        "why": decision.reason,
        "upstream": upstream_url(provider, route, target),
        "payment": _payment(call, provider, route),
        "price": _price(call, provider, route),
        "caps": [
            {"scope": limit.scope, "window": limit.window, "limit": format_usd(limit.usd)}
            for limit in limits(config, decision.provider, route, None)
        ],
    }


def _payment(call: Call, provider: ProviderConfig, route: RouteConfig) -> str:
    if pays(provider, route, call.method):
        return "a 402 is paid, within the caps"
    if provider.pay is not None and call.method == "GET" and job_id(call.path) is not None:
        return "a poll: it carries the job's own payment"
    if provider.pay is not None:
        return f"a 402 goes through unpaid: {call.method} is not among the route's pay_methods"
    return "the provider's key is added" if provider.auth is not None else "none"


def _price(call: Call, provider: ProviderConfig, route: RouteConfig) -> str:
    if provider.pay is not None:
        return "as the 402 quotes it" if pays(provider, route, call.method) else "nothing"
    if provider.prices is None:
        return "unknown: the provider has no prices, and nothing is counted against caps"
    model, _ = body_signs(call.fields)
    price = table_price(provider.prices, unquote(call.path), model, call.fields)
    if isinstance(price, Refusal):
        return f"refused, {price.code}: {price.message}"
    return f"${format_usd(price)}, from the table"


def _owners(ledger: Path, path: str, assets: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Which providers gave out the ids in a call; where there is no ledger yet, nobody did."""
    job = job_id(path)
    ids = [("asset", asset) for asset in assets] + ([] if job is None else [("job", job)])
    if not ids or not os.path.exists(ledger):  # noqa: PTH110 - as in hello.py
        return {}
    with closing(connect(ledger, read_only=True)) as db:
        known = {id_: tuple(m.provider for m in recall(db, kind, id_)) for kind, id_ in ids}
    return {id_: providers for id_, providers in known.items() if providers}


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "status": refusal.status, "message": refusal.message}
