"""The three providers, a daemon in front of them, and somebody with a phone; one clock for all."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yarl import URL

from proxy.sandbox import Sandbox, SandboxOptions
from tests.exchange.conftest import SECRET, house, write_config
from tests.providers.test_native import Town
from tests.store.books import Clock

PUBLIC = "https://me.example"
SESSIONS = "/v1/portrait/sessions"


@dataclass(frozen=True)
class Page:
    """What a phone sees."""

    status: int
    headers: Mapping[str, str]
    text: str


class Street(Town):
    """A town with phones in it."""

    async def open(self, name: str = "rachel", provider: str = "pomex", **fields: Any) -> Any:
        """Start a session that must start."""
        body = {"name": name, **fields}
        status, session = await self.call("POST", SESSIONS, body, Farebox_Provider=provider)
        assert status == 200, session
        return session

    async def show(self, session: Any, **headers: str) -> Any:
        """Ask after a session."""
        status, shown = await self.call("GET", f"{SESSIONS}/{session['id']}", **headers)
        assert status == 200, shown
        return shown

    async def scan(self, session: Any, how: str = "") -> str:
        """Open the link on a phone: where the provider sends it, if it sends it on."""
        link = session["h5_link"]
        mark = "&" if urlsplit(link).query else "?"
        url = f"{link}{mark}scan={how}" if how else link
        async with self.house.client.get(url, allow_redirects=False) as answer:
            return answer.headers.get("Location", "")

    async def land(
        self, url: str, method: str = "GET", host: str = "me.example", **headers: str
    ) -> Page:
        """Follow the provider's redirect: a tunnel brings it to the daemon."""
        target = url.removeprefix(PUBLIC)
        named = {"Host": host} | {k.replace("_", "-"): v for k, v in headers.items()}
        client = self.house.client
        there = URL(self.house.url + target, encoded=True)
        async with client.request(method, there, headers=named) as answer:
            return Page(answer.status, dict(answer.headers), await answer.text())

    async def verify(self, session: Any) -> None:
        """Have a person scanned, as either provider does it."""
        landing = await self.scan(session)
        if landing:
            assert (await self.land(landing)).status == 200

    def asked(self, provider: str = "") -> list[tuple[str, str]]:
        """What the providers were asked, without what phones asked."""
        return [
            (seen.method, seen.path)
            for seen in self.sandbox.requests
            if provider in ("", seen.provider) and not seen.path.startswith("/h5/")
        ]


def parts_for(site: Sandbox) -> dict[str, Any]:
    """The parts of a config for a daemon in front of a sandbox."""
    key = {"bearer": {"file": "provider.key"}}
    return {
        "providers": {
            "blockrun": {"kind": "blockrun", "base_url": site.blockrun_url, "pay": {}},
            "sunra": {"kind": "sunra", "base_url": site.sunra_url, "auth": key},
            "pomex": {"kind": "pomex", "base_url": site.pomex_url, "auth": key},
        },
        "caps": {"per_request": "2.00", "day": "5.00"},
        "public_url": PUBLIC,
    }


@asynccontextmanager
async def street(folder: Path, clock: Clock | None = None, **parts: Any) -> AsyncIterator[Street]:
    """Open it all; `parts` replace keys of the config, and None leaves one out."""
    options = SandboxOptions(api_key=SECRET, job_s=0.2, asset_s=0.05)
    async with Sandbox(options, *([] if clock is None else [clock])) as site:
        config = write_config(folder, **(parts_for(site) | parts))
        async with house(config, None if clock is None else clock.clocks) as at:
            yield Street(at, site)
