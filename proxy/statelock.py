"""One daemon to a state directory: two would each keep the caps, and together break them."""

import fcntl
import os
from pathlib import Path
from typing import Final

FILE_NAME: Final = "farebox.lock"


class StateDirTakenError(Exception):
    """Another daemon works on this state directory; the message names it."""


class StateLock:
    """Holds a state directory until the process ends or `release` is called."""

    def __init__(self, state_dir: Path) -> None:
        self._file = os.open(
            state_dir / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StateDirTakenError(
                f"{state_dir} is in use by another daemon (process {holder}); stop it first"
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let another daemon have the directory."""
        os.close(self._file)
