"""The file: how it is made, brought forward, and what it refuses to hold."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store import SchemaError, schema
from proxy.store.ledger import Ledger
from tests.store.books import Clock, opened, rows

NEWEST = len(schema.MIGRATIONS)
TABLES = {
    "payment",
    "hold",
    "balance",
    "taken",
    "payee",
    "memory",
    "pause",
    "chain_cursor",
    "foreign_use",
    "quote",
    "clip",
    "portrait",
    "session",
    "session_state",
    "keyed",
    "clock",
    "tally",
}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a fresh file of this version, with a payment and a hold in it."""
    connection = schema.connect(tmp_path / schema.FILE_NAME)
    schema.migrate(connection)
    connection.execute(
        "INSERT INTO payment (id, created_at, provider, route, method, path, body_sha256,"
        " fingerprint, network, asset, decimals, pay_to, amount, usd, state) VALUES"
        " ('p', 1, 's', 'r', 'POST', '/', x'00', x'00', 'n', 'a', 6, 'x', '1', 1, 'sent')"
    )
    connection.execute(
        "INSERT INTO hold (id, payment, wallet, nonce, valid_after, valid_before, lag_s, usd,"
        " state, scopes, terms) VALUES (1, 'p', 'w', zeroblob(32), 0, 1, 0, 1, 'sent', '', '')"
    )
    yield connection
    connection.close()


def test_from_nothing(tmp_path: Path, db: sqlite3.Connection) -> None:
    """An empty file becomes one of this version, which is durable and for its owner alone."""
    names = {row[0] for row in rows(tmp_path, "SELECT name FROM sqlite_master WHERE type='table'")}
    assert names == TABLES
    assert rows(tmp_path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    assert stat.S_IMODE((tmp_path / schema.FILE_NAME).stat().st_mode) == 0o600
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_twice_is_once(tmp_path: Path, db: sqlite3.Connection) -> None:
    """Bringing a file forward that is of this version changes nothing."""
    before = rows(tmp_path, "SELECT * FROM sqlite_master")
    schema.migrate(db)
    assert rows(tmp_path, "SELECT * FROM sqlite_master") == before


def test_version_2_that_was_ahead(tmp_path: Path, db: sqlite3.Connection) -> None:
    """A file of version 2 that has what version 3 adds becomes one, and nothing is lost."""
    before = rows(tmp_path, "SELECT * FROM sqlite_master")
    db.execute("PRAGMA user_version = 2")
    schema.migrate(db)
    assert rows(tmp_path, "SELECT * FROM sqlite_master") == before
    assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,)
    assert db.execute("SELECT count(*) FROM hold").fetchone() == (1,)


async def test_file_of_a_newer_version(tmp_path: Path) -> None:
    """A file that a later program wrote is refused, and left as it was."""
    async with opened(tmp_path) as books:
        await books.bought(5)
    (newer,) = (len(schema.MIGRATIONS) + 1,)
    with sqlite3.connect(tmp_path / schema.FILE_NAME) as db:
        db.execute(f"PRAGMA user_version = {newer}")
    db.close()
    with pytest.raises(SchemaError, match=f"version {newer}; this program knows"):
        await Ledger.open(tmp_path, Clock().clocks)
    assert rows(tmp_path, "SELECT count(*) FROM hold") == [(1,)]
    assert rows(tmp_path, "PRAGMA user_version") == [(newer,)]


def test_step_that_fails(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that breaks half-way leaves the file of the version that it was."""
    broken = "CREATE TABLE extra (x INTEGER) STRICT;\nCREATE TABLE payment (x INTEGER) STRICT;\n"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.migrate(db)
    assert not db.in_transaction
    assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (0,)
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS[:NEWEST], broken.split("\n", 1)[0])
    )
    schema.migrate(db)
    assert db.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)
    assert db.execute("SELECT count(*) FROM hold").fetchone() == (1,)


def test_step_that_takes_its_transaction_along(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk rolled everything back itself, the error that tells so is the one told."""
    taken_along = "ROLLBACK;\nCREATE TABLE payment (x INTEGER) STRICT;\n"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, taken_along))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.migrate(db)
    assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,)


def test_no_room_to_begin(tmp_path: Path) -> None:
    """A disk too full for the tables is an error of the disk, and not one about it."""
    db = schema.connect(tmp_path / schema.FILE_NAME)
    db.execute("PRAGMA max_page_count = 3")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        schema.migrate(db)
    db.execute("PRAGMA max_page_count = 1000")
    schema.migrate(db)
    db.close()


def test_symlink_instead_of_the_file(tmp_path: Path) -> None:
    """The ledger's name must be a file of its own: a symlink is not followed."""
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / schema.FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        schema.connect(tmp_path / schema.FILE_NAME)


def test_reading_makes_no_file(tmp_path: Path) -> None:
    """Who only reads does not make a ledger where there is none."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        schema.connect(tmp_path / "none", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payment SET amount = ''",
        "UPDATE payment SET amount = '-1'",
        "UPDATE payment SET amount = '1.5'",
        "UPDATE payment SET amount = '1e6'",
        "UPDATE payment SET usd = -1",
        "UPDATE payment SET usd = 0.5",
        "UPDATE payment SET usd = 'much'",
        "UPDATE payment SET state = 'paid'",
        "UPDATE hold SET state = 'paid'",
        "UPDATE hold SET usd = -1",
        "UPDATE hold SET usd = 1.5",
        "UPDATE hold SET nonce = zeroblob(31)",
        "UPDATE hold SET nonce = 'text'",
        "UPDATE hold SET valid_before = valid_after",
        "UPDATE hold SET lag_s = -1",
        "UPDATE hold SET booked = 2",
        "UPDATE hold SET payment = 'nobody'",
        (
            "INSERT INTO hold (payment, wallet, nonce, valid_after, valid_before, lag_s, usd,"
            " state, scopes, terms) SELECT payment, wallet, nonce, 0, 1, 0, 1, state, '', ''"
            " FROM hold"
        ),
        "INSERT INTO balance VALUES ('all', -1, 0)",
        "INSERT INTO balance VALUES ('all', 0, -1)",
        "INSERT INTO taken VALUES ('all', 1, 0, 1, -1, 1)",
        "INSERT INTO taken VALUES ('all', 1, 0, 1, 1, -1)",
        "INSERT INTO memory (id, kind, provider, created_at) VALUES ('x', 'thing', 's', 0)",
        (
            "INSERT INTO memory (id, kind, provider, payment, created_at)"
            " VALUES ('x', 'job', 's', '?', 0)"
        ),
        "DELETE FROM payment",
    ],
)
def test_what_the_tables_refuse(db: sqlite3.Connection, statement: str) -> None:
    """A value that makes no sense cannot get in, whoever writes it."""
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)
