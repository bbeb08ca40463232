"""The ledger as the command line reads it: beside a running daemon, without one, before the first.

Reading takes one moment's view of the file and changes nothing in it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from proxy.cli.common import Failure
from proxy.core.ledger import DEATH_MARGIN_S
from proxy.store import sums
from proxy.store.schema import FILE_NAME, MIGRATIONS, connect, migrate

NOTHING_YET = "Nothing was paid yet."


@contextmanager
def reading(state_dir: Path) -> Iterator[sqlite3.Connection]:
    """Open a state directory's ledger for reading; where there is none yet, an empty one."""
    path = state_dir / FILE_NAME
    try:
        with closing(_open(path)) as db:
            db.execute("BEGIN")
            yield db
    except sqlite3.Error as problem:
        raise Failure(f"cannot read the ledger {path}: {problem}") from None


@contextmanager
def as_of(db: sqlite3.Connection, now: int) -> Iterator[sqlite3.Connection]:
    """Give the ledger with what has died by now booked, as the daemon counts it.

    The daemon books it in the file when it next reserves; until then that is done in a copy.
    """
    (overdue,) = db.execute(
        "SELECT count(*) FROM hold WHERE booked = 0 AND valid_before <= ?", (now - DEATH_MARGIN_S,)
    ).fetchone()
    if not overdue:
        yield db
        return
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        db.backup(copy)
        sums.book_the_dead(copy, now)
        yield copy


def _open(path: Path) -> sqlite3.Connection:
    try:
        is_there = path.exists()
    except OSError as problem:
        raise Failure(f"cannot read the ledger {path}: {problem.strerror}") from None
    if not is_there:
        return _empty()
    connection = connect(path, read_only=True)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == len(MIGRATIONS):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    if version == 0:  # made, and not yet filled
        return _empty()
    message = f"{path} is of version {version}, and this program reads version {len(MIGRATIONS)}"
    raise Failure(f"{message}: the two are of different releases")


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection
