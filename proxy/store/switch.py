"""The kill switch: while it is on, nothing is signed.

It is a row in the ledger, read inside every reserving transaction, so it survives restarts and
works with and without a running daemon. A command, the daemon's page, a file named `PAUSE` in the
state directory and the config can each turn it on; it stays on, whatever becomes of the file or the
config, until a person resumes.
"""

import errno
import sqlite3
from pathlib import Path
from typing import Final

from proxy.store.writer import LedgerUnavailableError

FILE: Final = "PAUSE"
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
"""Trouble of the moment: it refuses, and does not turn the switch for good."""
REASON_CHARS_MAX: Final = 500


def paused(db: sqlite3.Connection) -> str | None:
    """The reason for which paying is paused (it may be empty), or None."""
    row = db.execute("SELECT reason FROM pause").fetchone()
    return None if row is None else str(row[0])


def pause(db: sqlite3.Connection, reason: str, source: str, now: int) -> None:
    """Turn the switch on. `source` is `command`, `page`, `file` or `config`.

    One that is on stays as it is, but for a person's own new reason.
    """
    if source == "command":
        db.execute("DELETE FROM pause")
    elif paused(db) is not None:
        return
    db.execute("INSERT INTO pause VALUES (?, ?, ?)", (now, reason[:REASON_CHARS_MAX], source))


def resume(db: sqlite3.Connection) -> None:
    """Turn the switch off."""
    db.execute("DELETE FROM pause")


def latch_file(db: sqlite3.Connection, file: Path, now: int) -> None:
    """Turn the switch on if the file is there; what it says is the reason.

    A file that cannot be looked at counts as there.
    """
    try:
        with file.open("rb") as source:
            said = source.read(4 * REASON_CHARS_MAX)
    except FileNotFoundError:
        return
    except OSError as problem:
        if problem.errno in _PASSING:
            raise LedgerUnavailableError(_unread(problem)) from None
        said = _unread(problem).encode()
    reason = " ".join(said.decode("utf-8", "replace").split())
    pause(db, reason or f"the file {FILE} is there", "file", now)


def _unread(problem: OSError) -> str:
    return f"the file {FILE} cannot be read: {problem.strerror}"
