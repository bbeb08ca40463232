"""The programs under test, each a process on the proxy's core: farebox, and nginx beside it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import machine
from tests.bench.wire import FREE, PAID
from tests.exchange.provider import NETWORK
from tests.rig.process import ROOT, announced, child, stop

KEY: Final = "0x" + "11" * 32
READY_S: Final = 30.0
_POLL_S: Final = 0.001
_PLENTY: Final = "1000000000.00"
_WINDOWS: Final = ("per_request", "hour", "day", "week", "month", "total", "outstanding")
CAPS: Final = dict.fromkeys(_WINDOWS, _PLENTY)
"""A cap of every kind, so that each is looked at, and none is met."""

NGINX_CONF: Final = """\
daemon off; master_process off; worker_processes 1;
pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log {home}/access.log;
  client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
  uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
  client_max_body_size 0; keepalive_requests 1000000000;
  upstream provider {{
    server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server on loopback. `start_s` is what it took from its start to its first good answer."""

    name: str
    port: int
    pid: int
    start_s: float = 0.0

    def metric(self, line: str) -> float:
        """A number from the daemon's own metrics; 0 where it has not said it yet."""
        text = _get(self.port, "/metrics")[1].decode()
        found = (each for each in text.splitlines() if each.startswith(f"{line} "))
        return float(next(found, "x 0").rpartition(" ")[2])


@contextmanager
def provider(home: Path) -> Iterator[Server]:
    """Run the provider, on the load's side."""
    log = home / "provider.log"
    with child([sys.executable, "-m", "tests.bench.upstream"], log) as process:
        yield Server("direct", announced(process, log)["port"], process.pid)


@contextmanager
def farebox(home: Path, upstream: int) -> Iterator[Server]:
    """Run a fresh daemon as a user does, with an empty ledger."""
    port = _free_port()
    config = _config(home, port, upstream)
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    with _running("farebox", command, port, "/readyz", home / "farebox.log") as server:
        yield server


@contextmanager
def nginx(home: Path, upstream: int) -> Iterator[Server]:
    """Run nginx as one process that streams both ways, with its access log on as by default."""
    path = machine.nginx_path()
    if path is None:
        raise FileNotFoundError("nginx")
    port = _free_port()
    config = home / "nginx.conf"
    config.write_text(NGINX_CONF.format(home=home, port=port, upstream=upstream))
    command = [path, "-p", str(home), "-e", str(home / "nginx.log"), "-c", str(config)]
    with _running("nginx", command, port, "/free/get", home / "nginx.out") as server:
        yield server


@contextmanager
def _running(
    name: str, command: Sequence[str], port: int, path: str, log: Path
) -> Iterator[Server]:
    with machine.on(machine.PROXY_CORES), log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until = began + READY_S
        while not _answers(port, path):
            if process.poll() is not None or time.perf_counter() > until:
                raise RuntimeError(f"{name} does not start:\n{log.read_text()[-4000:]}")
            time.sleep(_POLL_S)
        yield Server(name, port, process.pid, time.perf_counter() - began)
    finally:
        stop(process)


def _config(home: Path, port: int, upstream: int) -> Path:
    url = f"http://127.0.0.1:{upstream}"
    document: dict[str, Any] = {
        "listen": f"127.0.0.1:{port}",
        "state_dir": str(home / "state"),
        "wallet": {"key": {"file": str(home / "wallet.key")}},
        "caps": CAPS,
        "providers": {
            "free": {"kind": "http", "base_url": url},
            "paid": {"kind": "http", "base_url": url, "pay": {"networks": [NETWORK]}},
        },
        "routes": [
            {"path": f"{FREE}/*", "provider": "free"},
            {"path": f"{PAID}/*", "provider": "paid"},
        ],
    }
    # The daemon watches the config's folder: what it writes itself must not lie beside it.
    folder = home / "config"
    folder.mkdir()
    for path, text in ((home / "wallet.key", KEY), (folder / "config.json", json.dumps(document))):
        path.touch(mode=0o600)
        path.write_text(text)
    return folder / "config.json"


def _environment() -> dict[str, str]:
    """Ours, without what would change a daemon; compiled modules are kept, as at a user's."""
    dropped = ("COVERAGE_", "FAREBOX_", "LISTEN_", "NOTIFY_", "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if not key.startswith(dropped)}


def _free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    try:
        return _get(port, path)[0] == http.client.OK
    except OSError:
        return False


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
