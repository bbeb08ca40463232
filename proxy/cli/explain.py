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
from proxy.cli.layout import printable
from proxy.cli.own_answers import NOBODY_ASKED, Own, own_answer
from proxy.configfile import Loaded
from proxy.core.config import AUTO, Config, ProviderConfig, RouteConfig
from proxy.core.errors import Refusal
from proxy.core.money import format_usd
from proxy.core.openai_requests import is_adapted, read_call, read_create
from proxy.core.paths import ENROL, JOBS, SESSIONS
from proxy.core.policy import limits, pays, table_price
from proxy.core.routing import (
    asked_job,
    decide,
    find_route,
    fixed,
    plain,
    upstream_url,
)
from proxy.core.videos import segment, with_usual_model
from proxy.gate.paths import path_problem
from proxy.media.enrolment import taken
from proxy.media.native import native_call, native_session
from proxy.media.verification import read_verification
from proxy.providers import LORE
from proxy.providers.lore import NativeCall
from proxy.store import portraits
from proxy.store.names import Asked, make_out


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
    if common is not call and call.method == "HEAD":
        return {"route": route.path, "answered": NOBODY_ASKED}
    if common is not call:
        return {"common": f"{common.method} {common.path}", **explain(loaded, common)}
    return {"route": route.path, **_on_route(loaded, call, route)}


def _on_route(loaded: Loaded, call: Call, route: RouteConfig) -> dict[str, Any]:
    config = loaded.config
    asked = _asked(call, config, route)
    with reading(loaded.state_dir) as db:
        named = make_out(db, asked, config)
        if isinstance(named, Refusal):
            return _refused(named)
        is_open = route.provider == AUTO
        decision = decide(named.signs, config) if is_open else fixed(route, asked.header, config)
        if isinstance(decision, Refusal):
            return _refused(decision)
        own = own_answer(db, asked, config, decision, adapted=is_adapted(config, call.path))
        if isinstance(own, Refusal):
            return _refused(own)
        if own is not None:
            return own.whose | _from_the_books(call, config, route, own)
        whose = {"provider": decision.provider, "why": decision.reason, **named.story}
        call_named = replace(call, fields=named.fields)
        sent = _sent(db, call_named, config, decision.provider, enrols=asked.enrols)
    if isinstance(sent, Refusal):
        return whose | _refused(sent)
    return whose | _story(call, sent, config, route, decision.provider)


def _from_the_books(call: Call, config: Config, route: RouteConfig, own: Own) -> dict[str, Any]:
    if own.call is None:
        return {"answered": NOBODY_ASKED}
    return _story(call, _made(call, own.call), config, route, own.provider)


def _sent(
    db: sqlite3.Connection, call: Call, config: Config, provider: str, *, enrols: bool
) -> Call | Refusal:
    """What the provider gets for a call whose names are made out."""
    model = config.providers[provider].default_video_model
    call = replace(call, fields=with_usual_model(call.method, call.path, call.fields, model))
    # Without a body nobody asks what becomes of it.
    native = _native(call, config, provider, enrols=enrols) if call.fields else None
    if isinstance(native, Refusal):
        return native
    if native is None:
        return call
    if (call.method, call.path) == ("POST", ENROL):
        name = str(call.fields["name"])
        if (standing := portraits.holder(db, name)) is not None:
            return taken(name, standing)
    return _made(call, native)


def _native(
    call: Call, config: Config, provider: str, *, enrols: bool
) -> NativeCall | Refusal | None:
    """The provider's own call that is made for this one, if another is."""
    if (call.method, call.path) != ("POST", SESSIONS) or not enrols:
        return native_call(call.method, call.path, call.fields, config.providers[provider])
    wanted = read_verification(call.fields)
    return wanted if isinstance(wanted, Refusal) else native_session(wanted, provider, config, "…")


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


def _asked(call: Call, config: Config, route: RouteConfig) -> Asked:
    kind = None if route.provider == AUTO else config.providers[route.provider].kind
    enrols = kind is None or bool(LORE[kind].portrait_models)
    header = call.headers.get("farebox-provider")
    return Asked(call.method, call.path, call.fields, header, enrols)


def in_words(call: Call, story: Mapping[str, Any]) -> str:
    """Write an explanation for people."""
    lines = [f"{call.method} {call.target}"]
    lines += [f"  {name:<9} {_word(story[name])}" for name in _SHOWN if name in story]
    lines += [
        f"  cap       ${c['limit']} {c['window']} ({c['scope']})" for c in story.get("caps", ())
    ]
    if "code" in story:
        lines.append(f"  refused   {story['code']}: {story['message']}")
    return "\n".join(map(printable, lines))


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_SHOWN = (
    "common",
    "route",
    "provider",
    "why",
    "portrait",
    "session",
    "answered",
    "upstream",
    "written",
    "payment",
    "price",
)


def _story(call: Call, sent: Call, config: Config, route: RouteConfig, name: str) -> dict[str, Any]:
    provider, written = config.providers[name], _written(call, sent)
    return {
        "upstream": upstream_url(provider, route, plain(sent.target)),
        **({} if written is None else {"written": written}),
        "payment": _payment(sent, provider, route),
        "price": _price(sent, provider, route),
        "caps": [
            {"scope": limit.scope, "window": limit.window, "limit": format_usd(limit.usd)}
            for limit in limits(config, name, route, None)
        ],
    }


def _made(call: Call, native: NativeCall) -> Call:
    """A provider's own call, in place of the one that it is made for."""
    query = native.query
    if query is None and native.method == call.method == "POST":
        query = call.target.partition("?")[2]
    target = f"{native.path}?{query}" if query else native.path
    return replace(call, method=native.method, target=target, fields=native.body or {})


def _written(call: Call, sent: Call) -> dict[str, Any] | None:
    """What is written anew; nothing, where what is sent is the client's own."""
    if (sent.method, sent.path, sent.fields) == (call.method, call.path, call.fields):
        return None
    body = {"body": dict(sent.fields)} if sent.fields else {}
    return {"method": sent.method, "path": sent.path, **body}


def _payment(call: Call, provider: ProviderConfig, route: RouteConfig) -> str:
    if pays(provider, route, call.method):
        return "a 402 is paid, within the caps"
    if provider.pay is not None and call.method == "GET" and asked_job(call.path) is not None:
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
