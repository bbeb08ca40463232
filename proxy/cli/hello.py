"""Whether a daemon runs on a config: it is greeted where the config has it listen.

Only this machine is asked, and only where a daemon has been before: no lock file, no daemon.
"""

import http.client
import json
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.core.config_values import is_loopback, parse_listen
from proxy.statelock import FILE_NAME as LOCK_FILE

if TYPE_CHECKING:
    from proxy.configfile import Loaded

ASK_S: Final = 1.0
"""A daemon on this machine that takes longer to say hello is not well."""
_HELLO_BYTES_MAX: Final = 1 << 16
_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked at, not listened on


@dataclass(frozen=True, slots=True)
class Running:
    """Whether a daemon answers, where, and what it says of itself."""

    running: bool
    address: str | None = None
    version: str | None = None


def ask(loaded: "Loaded") -> tuple[Running, dict[str, Any]]:
    """Find a config's daemon: who answers first, and its health report."""
    if os.path.exists(loaded.state_dir / LOCK_FILE):  # noqa: PTH110 - Path.exists raises where it may not look
        for address in loaded.config.listen:
            said = _greet(parse_listen(address))
            if said.get("status") == "ok":
                shown = address if address.startswith("unix:") else f"http://{address}"
                return Running(running=True, address=shown, version=said.get("version")), said
    return Running(running=False), {}


def listeners(loaded: "Loaded") -> list[str]:
    """The addresses of the config at which somebody listens on this machine, whoever it is."""
    return [address for address in loaded.config.listen if _is_open(parse_listen(address))]


def _is_open(where: tuple[str, int] | str) -> bool:
    try:
        _connected(where).close()
    except OSError:
        return False
    return True


def _greet(where: tuple[str, int] | str) -> dict[str, Any]:
    """The health report of whoever listens there; nothing, if nobody does."""
    connection = http.client.HTTPConnection("localhost", timeout=ASK_S)
    try:
        connection.sock = _connected(where)
        connection.request("GET", "/health")
        said = json.loads(connection.getresponse().read(_HELLO_BYTES_MAX))
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    return said if isinstance(said, dict) else {}


def _connected(where: tuple[str, int] | str) -> socket.socket:
    if isinstance(where, str):
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(ASK_S)
        connected.connect(where)
        return connected
    host = _LOOPBACK_OF.get(where[0], where[0])
    if not is_loopback(host):
        raise OSError(f"{host} is not this machine")
    return socket.create_connection((host, where[1]), ASK_S)
