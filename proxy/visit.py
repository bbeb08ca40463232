"""One client's call on its way: where it goes, with which body, under which snapshot of the config.

Whoever tells a story about a call (`exchange`, `jobs`) passes a `Visit` along and sends with it;
it owns the spooled body and lets go of it when the call is over.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from proxy.core.bodies import Unread
from proxy.core.config import Config, ProviderConfig, RouteConfig
from proxy.core.crossing import to_client
from proxy.core.http import OF_A_BODY, Headers, Request, get, without
from proxy.core.ledger import Limit
from proxy.core.policy import limits, pays, scopes
from proxy.core.routing import way_back
from proxy.providers import LORE, Lore
from proxy.providers.lore import NativeCall
from proxy.spool import Spool
from proxy.upstream import Answer
from proxy.wallet import Wallet

_OF_THE_BODY: Final = OF_A_BODY | {b"accept-encoding", b"prefer"}
"""What speaks of the client's own body and answer, and not of a call made for it."""

EMPTY_SHA256: Final = bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A config with the secrets that it refers to, opened: what one request is served under."""

    config: Config
    wallet: Wallet | None
    keys: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class Visit:
    """A request that has found its provider.

    `current` gives the newest snapshot, for limits that became tighter on the way.
    """

    request: Request
    snapshot: Snapshot
    current: Callable[[], Snapshot]
    route: RouteConfig
    provider: str
    spool: Spool | None
    fields: Mapping[str, Any]
    call_limits: tuple[Limit, ...] = ()
    story: dict[str, object] = field(default_factory=dict)
    unread: Unread | None = None
    """Why nobody here knows what its body says: `fields` is empty then, and means nothing."""

    sent_sha256: bytes = EMPTY_SHA256
    """The hash of the body as the client sent it; it may be written anew before it goes on."""

    asked: "Visit | None" = None
    """The request of the common shape on whose behalf this call is made, if it is."""

    @property
    def config(self) -> ProviderConfig:
        """The provider's part of the config."""
        return self.snapshot.config.providers[self.provider]

    @property
    def lore(self) -> Lore:
        """What is peculiar to this kind of provider."""
        return LORE[self.config.kind]

    @property
    def key(self) -> str | None:
        """The provider's API key, if it has one."""
        return self.snapshot.keys.get(self.provider)

    @property
    def body_sha256(self) -> bytes:
        """The hash of the spooled body, which is what the provider gets."""
        return EMPTY_SHA256 if self.spool is None else self.spool.sha256

    @property
    def idempotency_key(self) -> str | None:
        """How the client itself names this request, if it does."""
        key = get(self.request.headers, b"idempotency-key")
        return None if key is None else key.decode("latin-1").strip()

    @property
    def fingerprint(self) -> bytes:
        """What makes two requests identical: client, provider, method, target, key and body.

        The client's own body: what is put into it here (a model, an id in place of a name) may be
        another one by the time that the client asks again.
        """
        if self.asked is not None:
            return self.asked.fingerprint
        request = self.request
        key = self.idempotency_key or ""
        words = (request.client or "", self.provider, request.method, request.target, key)
        return sha256("\0".join(words).encode() + b"\0" + self.sent_sha256).digest()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that this call counts in."""
        return scopes(self.provider, self.route, self.request.client)

    def paying_wallet(self) -> Wallet | None:
        """The wallet, if this call may be paid for."""
        return self.snapshot.wallet if pays(self.config, self.route, self.request.method) else None

    def lifetime_s(self, *, is_job: bool) -> int:
        """How long an authorization of ours for this call lives at most."""
        pay = self.config.pay
        if pay is None:
            raise ValueError(f"provider {self.provider} is never paid")
        return pay.job_authorization_s if is_job else pay.authorization_s

    def limits(self, pay_to: str | None = None) -> tuple[Limit, ...]:
        """All limits on this call, and on whom it pays.

        Those it began under, those in force by now, and the client's own.
        """
        client = self.request.client
        configs = (self.snapshot.config, self.current().config)
        found = [
            limit
            for config in configs
            for limit in limits(config, self.provider, self.route, client, pay_to)
        ]
        return tuple(dict.fromkeys((*found, *self.call_limits)))

    def link(self, url: str) -> str | None:
        """Rewrite a link of the provider's so that it leads back through the daemon.

        None leaves it alone.
        """
        return way_back(url, self.config, self.route, self.request.host)

    def headers_for_client(self, answer: Answer) -> Headers:
        """The answer's headers as the client gets them."""
        return to_client(answer.headers, cookies=self.config.cookies, link=self.link)

    def at(self, provider: str) -> "Visit | None":
        """This visit as one of another provider's; None where that is not configured any more."""
        if provider not in self.snapshot.config.providers:
            return None
        self.story["provider"] = provider
        return replace(self, provider=provider)

    def aside(self, call: NativeCall, spool_dir: Path) -> "Visit":
        """A native call of the same provider, made on behalf of this one and under its caps."""
        mine = (self.request.method, self.request.path)
        if call.body is self.fields and (call.method, call.path) == mine:
            return self
        body = b"" if call.body is None else json.dumps(call.body).encode()
        spool = Spool.of(spool_dir, body)
        headers = without(self.request.headers, _OF_THE_BODY)
        if body:
            headers = (*headers, (b"Content-Type", b"application/json"))
        request = replace(
            self.request,
            method=call.method,
            path=call.path,
            query=self._query_of(call),
            headers=headers,
            body=spool,
        )
        return replace(
            self,
            request=request,
            spool=spool,
            fields=call.body or {},
            unread=None,
            story=self.story,
            asked=self,
        )

    def _query_of(self, call: NativeCall) -> str | None:
        """A native call's own query; else a submission keeps the client's."""
        if call.query is not None:
            return call.query
        return self.request.query if call.method == self.request.method == "POST" else None

    def close(self) -> None:
        """Let go of the body."""
        if self.spool is not None:
            self.spool.close()
