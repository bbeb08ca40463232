"""Start and stop the three providers, each on a loopback port of its own."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.sandbox import blockrun, pomex, signatures, sunra
from proxy.sandbox.facilitator import Facilitator
from proxy.sandbox.faults import BLOCKRUN, POMEX, SUNRA, Faults
from proxy.sandbox.keys import keyed
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.seen import Seen, recorder
from proxy.sandbox.site import Site, Trouble

HEADER_BYTES_MAX: Final = 65_536
"""Payment headers are long; aiohttp's 8,190 would refuse some that BlockRun takes."""

BODY_BYTES_MAX: Final = 1 << 29
"""More than any client of the daemon may send, so that the limit under test is the daemon's."""

STOP_S: Final = 0.1
"""Nobody waits for a stalling answer when the sandbox goes down."""


class Sandbox:
    """The three providers, running while the context is open.

    `blockrun_url` includes `/api`, as the real base URL does. `requests` holds everything that any
    of the three was asked, in order.
    """

    def __init__(
        self, options: SandboxOptions | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.options = options or SandboxOptions()
        self.facilitator = Facilitator(self.options.balance, clock)
        self.requests: list[Seen] = []
        self.blockrun_url = ""
        self.sunra_url = ""
        self.pomex_url = ""
        self._clock = clock
        self._running = AsyncExitStack()

    def __repr__(self) -> str:
        urls = (self.blockrun_url, self.sunra_url, self.pomex_url)
        return f"<Sandbox {' '.join(url or '-' for url in urls)}>"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(signatures.load)
        async with AsyncExitStack() as stack:
            self.blockrun_url = await self._start_blockrun(stack) + "/api"
            self.sunra_url = await self._start_sunra(stack)
            self.pomex_url = await self._start_pomex(stack)
            self._running = stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._running.aclose()

    async def _start_blockrun(self, stack: AsyncExitStack) -> str:
        listener, site = self._site(BLOCKRUN, self.options.blockrun_port, blockrun.trouble)
        app = self._application(site, blockrun.switches)
        app.add_routes(blockrun.routes(site, self.facilitator))
        return await _serve(stack, app, listener, site)

    async def _start_sunra(self, stack: AsyncExitStack) -> str:
        listener, site = self._site(SUNRA, self.options.sunra_port, sunra.trouble)
        app = self._application(site, keyed(site, sunra.SCHEMES))
        app.add_routes(sunra.routes(site))
        return await _serve(stack, app, listener, site)

    async def _start_pomex(self, stack: AsyncExitStack) -> str:
        listener, site = self._site(POMEX, self.options.pomex_port, pomex.trouble)
        app = self._application(site, keyed(site, pomex.SCHEMES))
        app.add_routes(pomex.routes(site))
        return await _serve(stack, app, listener, site)

    def _site(self, provider: str, port: int, trouble: Trouble) -> tuple[socket.socket, Site]:
        listener = _listen(self.options.host, port)
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        origin = f"http://{host}:{listener.getsockname()[1]}"
        return listener, Site(
            provider, origin, self.options, self._clock, trouble, Faults(provider)
        )

    def _application(self, site: Site, own: Middleware) -> web.Application:
        record = recorder(site.provider, self.requests)
        return web.Application(middlewares=[record, own, site.door], client_max_size=BODY_BYTES_MAX)


def sandbox(
    options: SandboxOptions | None = None, clock: Callable[[], float] = time.time
) -> Sandbox:
    """Make a sandbox to open with `async with`; `clock` gives Unix seconds."""
    return Sandbox(options, clock)


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is built: absolute URLs in answers need to know the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(
    stack: AsyncExitStack, app: web.Application, listener: socket.socket, site: Site
) -> str:
    stack.callback(listener.close)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=STOP_S,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener).start()
    return site.origin
