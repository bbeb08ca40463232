"""The ledger's file: how it is opened, and how an older one becomes this one.

`user_version` is the schema's version; migrations run forward only, and a file from a newer version
is refused. What the versions hold is in `tables`.
"""

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.store import tables

FILE_NAME: Final = "ledger.sqlite3"
BUSY_TIMEOUT_MS: Final = 5000

MIGRATIONS: Final = (tables.V1, tables.V2, tables.V3)
"""Step n brings a file from version n to n + 1."""


class SchemaError(Exception):
    """The file is not one that this version can work on."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the ledger's file with the pragmas that its promises need.

    A missing file is made, readable by its owner alone.
    """
    if read_only:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return connection
    _make(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def sync_names(directory: Path) -> None:
    """Make the names of a directory's files durable.

    SQLite does so too, but takes no notice if it fails.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have the file keep a log: SQLite says which mode it is in, and raises nothing if not."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"no write-ahead log can be made: the mode is {mode}")


def _make(path: Path) -> None:
    """Make a missing file, readable by its owner alone.

    One that is there is not opened: closing it again would take away every lock that this process
    has on it, and then another program could remove the log that is in use.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this version, in one transaction.

    SchemaError if it comes from a newer one.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _known_version(connection)
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                _apply(connection, statement)
        touch(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _apply(connection: sqlite3.Connection, statement: str) -> None:
    """Carry out a step's statement; a column that is there already is left as it is."""
    try:
        connection.execute(statement)
    except sqlite3.OperationalError as problem:
        if "duplicate column name" not in str(problem):
            raise


def touch(connection: sqlite3.Connection) -> None:
    """Write the version once more: the smallest change that the disk has to take."""
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _known_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"the ledger is of version {version}; this program knows {len(MIGRATIONS)}"
        )
    return int(version)


def _statements(script: str) -> list[str]:
    """Split a script, since `executescript` would commit in the middle."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
