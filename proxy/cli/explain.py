"""Where a request would go and why, by the config and the ledger's memory; nothing is sent.

What the daemon would write anew is shown as it would be written: a name that stands for a portrait
or a person, and a request of the common shape as its provider's own call.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from proxy.cli.books import reading
from proxy.configfile import Loaded
from proxy.core.config import AUTO, Config, ProviderConfig, RouteConfig
from proxy.core.errors import Refusal
from proxy.core.money import format_usd
from proxy.core.openai_requests import is_adapted, read_call, read_create
from proxy.core.paths import JOBS
from proxy.core.policy import limits, pays, table_price
from proxy.core.routing import Decision, decide, find_route, fixed, job_id, plain, upstream_url
from proxy.core.videos import segment, with_usual_model
from proxy.gate.paths import path_problem
from proxy.media.native import native_call
from proxy.providers import LORE
from proxy.providers.lore import NativeCall
from proxy.store.names import Asked, Named, make_out


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
    route = find_route(loaded.config, call.path)
    if isinstance(route, Refusal):
        return _refused(route)
    common = _common(call, loaded.config)
    if isinstance(common, Refusal):
        return {"route": route.path, **_refused(common)}
    if common is not call:
        return {"common": f"{common.method} {common.path}", **explain(loaded, common)}
    return {"route": route.path, **_on_route(loaded, call, route)}


def _on_route(loaded: Loaded, call: Call, route: RouteConfig) -> dict[str, Any]:
    config, header = loaded.config, call.headers.get("farebox-provider")
    with reading(loaded.state_dir) as db:
        named = _made_out(db, call, header, config, route)
    if isinstance(named, Refusal):
        return _refused(named)
    is_open = route.provider == AUTO
    decision = decide(named.signs, config) if is_open else fixed(route, header, config)
    if isinstance(decision, Refusal):
        return _refused(decision)
    whose = {"provider": decision.provider, "why": decision.reason, **named.story}
    provider = config.providers[decision.provider]
    model = provider.default_video_model
    fields = with_usual_model(call.method, call.path, named.fields, model)
    # Without a body nobody asks what becomes of it.
    native = native_call(call.method, call.path, fields, provider) if call.fields else None
    if isinstance(native, Refusal):
        return whose | _refused(native)
    if fields is not call.fields:
        call = replace(call, fields=fields)
    return whose | _story(call, config, route, decision, native)


def _common(call: Call, config: Config) -> Call | Refusal:
    """The request that one of OpenAI's shape stands for; any other stands for itself."""
    read = read_call(call.method, call.path)
    if read is None or not is_adapted(config, call.path):
        return call
    if isinstance(read, Refusal):
        return read
    if read.what == "create":
        asked = read_create(call.fields) if call.fields else None
        if isinstance(asked, Refusal):
            return asked
        return replace(call, target=JOBS, fields={} if asked is None else asked.fields)
    if read.what == "list":
        return call
    return replace(call, method="GET", target=f"{JOBS}/{segment(read.job)}")


def _made_out(
    db: sqlite3.Connection, call: Call, header: str | None, config: Config, route: RouteConfig
) -> Named | Refusal:
    kind = None if route.provider == AUTO else config.providers[route.provider].kind
    enrols = kind is None or bool(LORE[kind].portrait_models)
    return make_out(db, Asked(call.method, call.path, call.fields, header, enrols), config)


def in_words(call: Call, story: Mapping[str, Any]) -> str:
    """Write an explanation for people."""
    lines = [f"{call.method} {call.target}"]
    lines += [f"  {name:<9} {_word(story[name])}" for name in _SHOWN if name in story]
    lines += [
        f"  cap       ${c['limit']} {c['window']} ({c['scope']})" for c in story.get("caps", ())
    ]
    if "code" in story:
        lines.append(f"  refused   {story['code']}: {story['message']}")
    return "\n".join(lines)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_SHOWN = (
    "common",
    "route",
    "provider",
    "why",
    "portrait",
    "session",
    "upstream",
    "written",
    "payment",
    "price",
)


def _story(
    call: Call, config: Config, route: RouteConfig, decision: Decision, native: NativeCall | None
) -> dict[str, Any]:
    provider = config.providers[decision.provider]
    sent, written = (call, None) if native is None else _written(call, native)
    return {
        "upstream": upstream_url(provider, route, plain(sent.target)),
        **({} if written is None else {"written": written}),
        "payment": _payment(sent, provider, route),
        "price": _price(sent, provider, route),
        "caps": [
            {"scope": limit.scope, "window": limit.window, "limit": format_usd(limit.usd)}
            for limit in limits(config, decision.provider, route, None)
        ],
    }


def _written(call: Call, native: NativeCall) -> tuple[Call, dict[str, Any] | None]:
    """The native call that is made, and how it is shown; nothing, where it is the client's own."""
    fields = native.body or {}
    if fields == call.fields and (native.method, native.path) == (call.method, call.path):
        return call, None
    shown = {"method": native.method, "path": native.path, "body": dict(fields)}
    return replace(call, method=native.method, target=native.path, fields=fields), shown


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
    model = LORE[provider.kind].model_of(call.method, call.path, call.fields)
    price = table_price(provider.prices, unquote(call.path), model, call.fields)
    if isinstance(price, Refusal):
        return f"refused, {price.code}: {price.message}"
    return f"${format_usd(price)}, from the table"


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "status": refusal.status, "message": refusal.message}
