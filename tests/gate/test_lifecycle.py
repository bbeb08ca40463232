"""The door opens on every address or says why not; it closes without dropping what is under way."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp.http_parser import HttpRequestParserPy

from proxy.core.config import Config
from proxy.core.http import Reply, Request
from proxy.gate.server import Door, require_sound_parser
from proxy.gate.sockets import DoorError, inherited_sockets, open_sockets
from proxy.metrics import Metrics
from tests.gate.rig import PATIENCE_S, FakeAdmin, Heard, Log, Wire, config, opened, plain

GET = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def door(**changes: Any) -> Door:
    """A door that is not open yet."""
    snapshot: Config = config(**changes)
    metrics = Metrics()
    return Door(
        serve=plain,
        admin=FakeAdmin(metrics),
        config=lambda: snapshot,
        logger=Log(),
        metrics=metrics,
    )


async def asked(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> Heard:
    """Ask something of whoever is at the other end."""
    async with Wire(*connection) as wire:
        await wire.say(GET)
        return await wire.answer()


async def test_every_address_is_served(tmp_path: Path) -> None:
    """The door opens on all that the config lists, TCP and unix, and says where."""
    ports, path = (free_port(), free_port()), tmp_path / "door.sock"
    listen = [f"127.0.0.1:{ports[0]}", f"localhost:{ports[1]}", f"unix:{path}"]
    it = door(listen=listen)
    await it.start()
    try:
        assert {listen[0], f"127.0.0.1:{ports[1]}", listen[2]} <= set(it.addresses)
        assert (await asked(await asyncio.open_connection("127.0.0.1", ports[0]))).status == 200
        assert (await asked(await asyncio.open_connection("localhost", ports[1]))).status == 200
        assert (await asked(await asyncio.open_unix_connection(path))).status == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        await it.stop(0)
    assert not path.exists()


async def test_host_goes_with_any_listening_port() -> None:
    """A Host names one of the ports that the door listens on, and no other."""
    ports = (free_port(), free_port())
    it = door(listen=[f"127.0.0.1:{port}" for port in ports])
    await it.start()
    try:
        for port, status in ((ports[0], 200), (ports[1], 200), (1, 421)):
            async with Wire(*await asyncio.open_connection("127.0.0.1", ports[0])) as wire:
                await wire.say(GET.replace(b"localhost", b"localhost:%d" % port))
                assert (await wire.answer()).status == status
    finally:
        await it.stop(0)


async def test_taken_port() -> None:
    """A port that is taken is an error that says how to find who took it."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(DoorError, match=rf"127\.0\.0\.1:{port} is taken.*sport = :{port}"):
            await door(listen=f"127.0.0.1:{port}").start()


async def test_all_addresses_or_none() -> None:
    """When one address cannot be had the others are let go of."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        with pytest.raises(DoorError):
            await door(listen=[f"127.0.0.1:{port}", f"127.0.0.1:{taken}"]).start()
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("address", ["203.0.113.7:8402", "nobody.invalid:8402"])
def test_address_that_is_not_ours(address: str) -> None:
    """An address of another machine, or of none, is an error that names it."""
    with pytest.raises(DoorError, match="cannot listen on"):
        open_sockets((address,))


def test_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """A socket file that a crash left behind does not keep the door shut."""
    path = tmp_path / "door.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listening,) = open_sockets((f"unix:{path}",))
    with listening, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_unix_socket_that_answers_is_left_alone(tmp_path: Path) -> None:
    """A socket that somebody listens on is theirs."""
    path = tmp_path / "door.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(DoorError, match="is taken"):
            open_sockets((f"unix:{path}",))
        assert path.exists()


def test_file_in_the_way_of_a_unix_socket(tmp_path: Path) -> None:
    """A file that is no socket is never removed, and a directory that is not there is named."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(DoorError, match="no socket"):
        open_sockets((f"unix:{path}",))
    assert path.read_text() == "data"
    with pytest.raises(DoorError, match="nowhere"):
        open_sockets((f"unix:{tmp_path}/nowhere/door.sock",))


async def test_successors_socket_file_survives(tmp_path: Path) -> None:
    """A daemon that stops does not remove the socket of the one that has taken its place."""
    path = tmp_path / "door.sock"
    it = door(listen=f"unix:{path}")
    await it.start()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        successor.listen()
        await it.stop(0)
        assert path.exists()


async def test_served_over_a_unix_socket(tmp_path: Path) -> None:
    """Over an inherited unix socket any Host goes, and its file is systemd's to remove."""
    path = tmp_path / "door.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    async with opened(listening=listening), Wire(*await asyncio.open_unix_connection(path)) as wire:
        await wire.say(GET.replace(b"localhost", b"farebox.socket"))
        assert (await wire.answer()).status == 200
    assert path.exists()


INHERIT = """
import os
from proxy.gate.sockets import inherited_sockets
os.environ["LISTEN_PID"] = os.environ["PID"].replace("self", str(os.getpid()))
found = inherited_sockets(os.environ)
print([s.getsockname()[1] for s in found], [os.get_inheritable(s.fileno()) for s in found],
      [s.gettimeout() for s in found], "LISTEN_FDS" in os.environ)
"""


@pytest.mark.parametrize("whose", ["self", "1"])
def test_sockets_from_systemd(whose: str) -> None:
    """Sockets that were opened for this process are taken, those for another are not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.dup2(listening.fileno(), spare := 250)
        try:
            shell = f"exec 3<&{spare}; exec {sys.executable} -c '{INHERIT.replace(chr(39), '')}'"
            environ = {**os.environ, "LISTEN_FDS": "1", "PID": whose}
            ran = subprocess.run(
                ["bash", "-c", shell],
                env=environ,
                pass_fds=[spare],
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            os.close(spare)
        port = listening.getsockname()[1]
    expected = f"[{port}] [False] [0.0] False" if whose == "self" else "[] [] [] False"
    assert ran.stdout.strip() == expected


@pytest.mark.parametrize("count", ["", "x", "-1", "\uff11"])
def test_nonsense_from_the_environment(count: str) -> None:
    """What is no number of sockets is no sockets."""
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}
    assert inherited_sockets(environ) == ()
    assert environ == {}


def test_parser_is_the_strict_one() -> None:
    """The door relies on aiohttp's C parser of 3.14.4 or later, and refuses to open without."""
    require_sound_parser()
    require_sound_parser("4.0.0")
    for version in ("3.14.3", "3.9", "2.0.0"):
        with pytest.raises(DoorError, match="too old"):
            require_sound_parser(version)
    with pytest.raises(DoorError, match="C parser"):
        require_sound_parser(parser=HttpRequestParserPy)


class Slow:
    """Serves one request at a time, when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.cancelled = False

    async def __call__(self, request: Request) -> Reply:
        """Serve."""
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return await plain(request)


async def test_stop_lets_requests_finish() -> None:
    """Who is being served is served, even while still sending; who idles is hung up on."""
    slow = Slow()
    async with opened(slow) as house, await house.wire() as busy, await house.wire() as idle:
        await idle.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await idle.answer()).status == 200
        await busy.say(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        await slow.begun.wait()
        stopping = asyncio.create_task(house.door.stop(PATIENCE_S))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await house.wire()
        await busy.say(b"cd")
        slow.may_end.set()
        heard = Heard.of(await busy.rest())
        assert (heard.status, heard.body) == (200, b"abcd")
        assert heard.headers[b"connection"] == b"close"
        await stopping
        assert not slow.cancelled


async def test_stop_does_not_wait_for_ever() -> None:
    """After the time that is given for it what is under way is cancelled."""
    slow = Slow()
    async with opened(slow) as house, await house.wire() as wire:
        await wire.say(GET)
        await slow.begun.wait()
        async with asyncio.timeout(PATIENCE_S):
            await house.door.stop(0.05)
        assert slow.cancelled
        assert await wire.rest() == b""
        line = await house.log.line()
        assert (line["client_gone"], line["status"]) == (False, 0)


async def test_stop_before_start() -> None:
    """A door that never opened can be closed, as cleaning up does."""
    await door().stop(0)
