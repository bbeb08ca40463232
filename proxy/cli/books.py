"""The ledger as the command line meets it: beside a running daemon, without one, before the first.

Reading takes one moment's view of the file and changes nothing in it. What a person changes goes
through `proxy.store.people`, and what stood in the way is said in words.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from proxy.cli.common import WRONG, Failure
from proxy.clocks import machine_clocks
from proxy.core.ledger import DEATH_MARGIN_S, State
from proxy.store import SchemaError, memory, sums, views
from proxy.store.people import People
from proxy.store.schema import FILE_NAME, MIGRATIONS, connect, migrate
from proxy.store.timekeeping import steady_clock

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
    except UnicodeEncodeError:
        raise Failure("what was asked for is no text in UTF-8", WRONG) from None


@contextmanager
def as_of(db: sqlite3.Connection, now: int) -> Iterator[sqlite3.Connection]:
    """Give the ledger with what has died by now booked, as the daemon counts it.

    The daemon books it in the file when it next reserves; until then that is done in a copy.
    """
    (overdue,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM hold WHERE booked = 0 AND valid_before + lag_s <= ?)",
        (now - DEATH_MARGIN_S,),
    ).fetchone()
    if not overdue:
        yield db
        return
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        db.backup(copy)
        sums.book_the_dead(copy, now)
        yield copy


@contextmanager
def by_hand(state_dir: Path, undone: str) -> Iterator[People]:
    """Put a ledger into a person's hands; if it cannot be changed, `undone` says what is not."""
    try:
        yield People(state_dir, machine_clocks())
    except (OSError, sqlite3.Error, SchemaError) as problem:
        raise Failure(f"{undone}: {problem}") from None
    except UnicodeEncodeError:
        raise Failure(f"{undone}: that is no text in UTF-8", WRONG) from None


def job_to_watch(db: sqlite3.Connection) -> str | None:
    """A job that is not over, and whose payment's outcome is unknown: its end would tell."""
    unknown = views.payments(db, limit=views.PAGE_MAX, state=State.UNKNOWN)["payments"]
    jobs = (memory.job_of(db, payment["id"]) for payment in unknown if "job" in payment)
    return next((job.id for job in jobs if job is not None and job.answer is None), None)


def ledger_now(db: sqlite3.Connection) -> int:
    """The ledger's time, as a daemon that starts now would have it."""
    return steady_clock(db, machine_clocks()).now()


def ledger_of(state_dir: Path) -> tuple[Path, list[str]]:
    """The file that a person is about to change, and what to be wary of before they do."""
    path = state_dir / FILE_NAME
    if is_there(path):
        return path, []
    warning = (
        f"{path} is not there yet, so no daemon has used this state directory. If one runs with"
        " another state_dir, as a system service does, this does nothing to it: name its config"
        " with --config"
    )
    return path, [warning]


def is_there(path: Path) -> bool:
    """Whether a file exists, as far as one can look."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises where it may not look


def _open(path: Path) -> sqlite3.Connection:
    try:
        is_made = path.exists()
    except OSError as problem:
        raise Failure(f"cannot read the ledger {path}: {problem.strerror}") from None
    if not is_made:
        return _empty()
    connection = connect(path, read_only=True)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == len(MIGRATIONS):
            return connection
    except BaseException:
        connection.close()
        raise
    with closing(connection):
        return _of_another_version(path, connection, version)


def _of_another_version(path: Path, db: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """A file of an older release, as it will be once the daemon opens it: in a copy."""
    if version > len(MIGRATIONS):
        message = f"{path} is of version {version}, and this program knows {len(MIGRATIONS)}"
        raise Failure(f"{message}: it comes from a newer release")
    copy = _memory()
    db.backup(copy)
    migrate(copy)
    return copy


def _empty() -> sqlite3.Connection:
    connection = _memory()
    migrate(connection)
    return connection


def _memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)
