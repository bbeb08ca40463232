"""Files are trusted before they are believed: who owns them, who else may touch them, their size.

The checks look at the opened file and not at its name, so that nothing can be swapped between the
check and the reading. `OSError` and `ValueError` leave here as `Untrusted`, with a sentence that
says what to do.
"""

import os
import stat
from pathlib import Path
from typing import Final

CONFIG_BYTES_MAX: Final = 1 << 20
"""A thousand times the usual size; more is a mistake and would only be slow to parse."""

SECRET_BYTES_MAX: Final = 1 << 14
"""A key is 66 bytes, a keystore some 500."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE_MODES: Final = (0o600, 0o400)
_ROOT: Final = 0


class Untrusted(Exception):  # noqa: N818 - it names what the file is
    """The file is not there, not readable, or others could have written or read it."""


def resolve_path(text: str, base: Path) -> Path:
    """Make a path of the config absolute: `~` is the home, anything relative starts at `base`."""
    expanded = os.path.expanduser(text)  # noqa: PTH111 - Path's own raises without a home
    if expanded.startswith("~"):
        raise Untrusted("there is no home directory here that ~ could mean: write the path out")
    if not expanded or "\0" in expanded:
        raise Untrusted("this is no path")
    return base / expanded


def read_config_bytes(path: Path) -> bytes:
    """Read the config file: ours or root's, not writable for others. A symlink is followed."""
    data, status = _read(path, CONFIG_BYTES_MAX)
    if status.st_uid not in (os.geteuid(), _ROOT):
        raise Untrusted(f"belongs to user {status.st_uid}: a config must be yours or root's")
    if status.st_mode & _OTHERS_WRITE:
        raise Untrusted(f"others can write to it (mode {_mode(status)}): chmod go-w it")
    return data


def read_private(path: Path) -> bytes:
    """Read a file that holds a secret: it must be ours, mode 0600 or 0400, and no symlink."""
    data, status = _read(path, SECRET_BYTES_MAX, os.O_NOFOLLOW)
    if status.st_uid != os.geteuid():
        raise Untrusted(f"belongs to user {status.st_uid}, not to you: chown it")
    if stat.S_IMODE(status.st_mode) not in _PRIVATE_MODES:
        raise Untrusted(f"others must not touch it (mode {_mode(status)}): chmod 600 it")
    return data


def read_credential(path: Path) -> bytes:
    """Read a credential: the service manager guards it, but nobody else may write to the file."""
    data, status = _read(path, SECRET_BYTES_MAX)
    if status.st_mode & _OTHERS_WRITE:
        raise Untrusted(f"others can write to it (mode {_mode(status)})")
    return data


def _read(path: Path, bytes_max: int, flags: int = 0) -> tuple[bytes, os.stat_result]:
    try:
        # Without O_NONBLOCK the opening of a pipe would wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | flags)
    except OSError as error:
        raise Untrusted(_why_not_opened(path, error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Untrusted("not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise Untrusted(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > bytes_max:
        raise Untrusted(f"larger than {bytes_max} bytes")
    return data, status


def _why_not_opened(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if os.path.islink(path):  # noqa: PTH114 - Path.is_symlink raises where it may not look
        return "a symlink: name the file itself"
    return f"cannot be opened: {error.strerror}"


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
