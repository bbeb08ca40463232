"""The listening sockets: opened as the config says, or inherited from systemd.

What stands in the way is said in words that help: a taken port names the command that finds out by
whom, for a stranger on it would see every request that was meant for us.
"""

import errno
import os
import re
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.core.config_values import parse_listen

BACKLOG: Final = 512
"""Connections that the kernel keeps while we are busy; beyond these it turns them away."""
UNIX_MODE: Final = 0o600
FIRST_INHERITED_FD: Final = 3
"""sd_listen_fds(3): the descriptors follow standard error."""


class DoorError(Exception):
    """Why the door cannot open: the message tells a person what to do."""


def open_sockets(listen: tuple[str, ...]) -> tuple[socket.socket, ...]:
    """Open every address of a config, or none: on trouble what was opened is closed again."""
    opened: list[socket.socket] = []
    try:
        for address in listen:
            where = parse_listen(address)
            if isinstance(where, str):
                opened.append(_open_unix(Path(where)))
            else:
                opened += _open_tcp(*where)
    except BaseException:
        for each in opened:
            each.close()
        raise
    return tuple(opened)


def inherited_sockets(environ: MutableMapping[str, str]) -> tuple[socket.socket, ...]:
    """Take the sockets that systemd opened for this process; the variables are for us alone."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not re.fullmatch("[0-9]{1,4}", count):
        return ()
    found = []
    for fd in range(FIRST_INHERITED_FD, FIRST_INHERITED_FD + int(count)):
        os.set_inheritable(fd, False)  # noqa: FBT003 - its only signature
        found.append(socket.socket(fileno=fd))
        found[-1].settimeout(0)
    return tuple(found)


def remove_stale(path: Path) -> None:
    """Remove the file of a unix socket that was closed, unless somebody listens there by now."""
    with suppress(OSError, DoorError):
        _clear_stale(path)


def _open_tcp(host: str, port: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
    except socket.gaierror as failure:
        raise DoorError(f"cannot listen on {host}:{port}: {failure.strerror}") from failure
    opened: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            opened.append(_bind_tcp(family, address))
    except OSError as failure:
        for each in opened:
            each.close()
        raise DoorError(_why_not(f"{host}:{port}", port, failure)) from failure
    return opened


def _bind_tcp(family: int, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # On Linux this skips the wait after a restart and still lets nobody share the port.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


def _why_not(where: str, port: int, failure: OSError) -> str:
    if failure.errno == errno.EADDRINUSE:
        return (
            f"{where} is taken: another program, perhaps another farebox, listens there. "
            f"Find it with: ss -ltnp 'sport = :{port}'   (or: lsof -nP -iTCP:{port} -sTCP:LISTEN)"
        )
    if failure.errno == errno.EACCES:
        return f"{where} is not ours to listen on: ports below 1024 need privileges"
    return f"cannot listen on {where}: {failure.strerror}"


def _open_unix(path: Path) -> socket.socket:
    _clear_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~UNIX_MODE)  # the file must not be open to others for even an instant
    try:
        listening.bind(str(path))
    except OSError as failure:
        listening.close()
        raise DoorError(f"cannot listen on unix:{path}: {failure.strerror or failure}") from failure
    finally:
        os.umask(umask)
    listening.listen(BACKLOG)
    listening.settimeout(0)
    return listening


def _clear_stale(path: Path) -> None:
    """Remove a socket file that nobody answers on; anything else that stands there stays."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise DoorError(f"cannot listen on unix:{path}: something that is no socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as failure:
            raise DoorError(f"cannot listen on unix:{path}: {failure.strerror}") from failure
    raise DoorError(
        f"unix:{path} is taken: another program, perhaps another farebox, listens there. "
        f"Find it with: ss -lxp src {path}"
    )
