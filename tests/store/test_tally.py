"""What was ever paid, by state: kept in step by triggers, and right on a file that had none."""

import sqlite3
from pathlib import Path

import pytest

from proxy.core.ledger import Evidence
from proxy.store import schema, views
from tests.store.books import Books, rows

_FROM_SCRATCH = (
    "SELECT state, (SELECT count(*) FROM payment p WHERE p.state = tally.state),"
    " (SELECT coalesce(sum(usd), 0) FROM hold h WHERE h.state = tally.state)"
    " FROM tally ORDER BY state"
)
_KEPT = "SELECT state, payments, usd FROM tally ORDER BY state"


async def test_follows_every_change(books: Books, tmp_path: Path) -> None:
    """Whatever becomes of payments, the tally is what counting from scratch gives."""
    stories = [
        (),
        (Evidence.SENT,),
        (Evidence.NO_RECEIPT,),
        (Evidence.RECEIPT,),
        (Evidence.NEVER_SENT,),
        (Evidence.SENT, Evidence.NO_RECEIPT, Evidence.RECEIPT),
    ]
    for number, story in enumerate(stories):
        await books.become(await books.bought(10 + number), *story)
        await books.ledger.flush()
        assert rows(tmp_path, _KEPT) == rows(tmp_path, _FROM_SCRATCH)
    assert await books.ledger.read(views.spent) == 13 + 15


async def test_second_authorization_of_one_payment(books: Books, tmp_path: Path) -> None:
    """A payment counts once, each of its authorizations with its amount."""
    first = await books.bought(10)
    await books.become(first, Evidence.NO_RECEIPT)
    books.clock.now += 1000
    second = await books.bought(7, payment=first.payment)
    await books.become(second, Evidence.RECEIPT)
    await books.ledger.flush()
    assert rows(tmp_path, _KEPT) == rows(tmp_path, _FROM_SCRATCH)
    assert (await books.ledger.read(views.counts))["settled"] == 1
    assert await books.ledger.read(views.spent) == 7


async def test_nothing_of_what_is_rolled_back(books: Books, tmp_path: Path) -> None:
    """A reservation that breaks off leaves no trace in it."""
    one = await books.bought(5)
    (nonce,) = rows(tmp_path, "SELECT nonce FROM hold WHERE payment = ?", one.payment)[0]
    with pytest.raises(sqlite3.IntegrityError):
        await books.reserve(5, nonce=nonce)
    assert rows(tmp_path, _KEPT) == rows(tmp_path, _FROM_SCRATCH)


def test_file_of_version_1(tmp_path: Path) -> None:
    """A file from before is counted when it is brought forward, and what was booked stays."""
    db = schema.connect(tmp_path / schema.FILE_NAME)
    for statement in schema._statements(schema.MIGRATIONS[0]):
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    for number, state in enumerate(("settled", "settled", "unknown", "void"), start=1):
        db.execute(
            "INSERT INTO payment (id, created_at, provider, route, method, path, body_sha256,"
            " fingerprint, network, asset, decimals, pay_to, amount, usd, state) VALUES"
            " (?, 1, 's', 'r', 'POST', '/', x'00', x'00', 'n', 'a', 6, 'x', '1', 1, ?)",
            (f"p{number}", state),
        )
        db.execute(
            "INSERT INTO hold (payment, valid_after, valid_before, lag_s, usd, state, scopes,"
            " terms, booked) VALUES (?, 0, 1, 0, ?, ?, '[]', '', 1)",
            (f"p{number}", number, state),
        )
        db.execute(
            "INSERT INTO taken VALUES ('all', ?, ?, ?, ?, ?)",
            (number, number, number, number, number),
        )
    taken = db.execute("SELECT * FROM taken").fetchall()
    schema.migrate(db)
    assert db.execute(_KEPT).fetchall() == db.execute(_FROM_SCRATCH).fetchall()
    assert db.execute("SELECT * FROM taken").fetchall() == taken
    assert views.spent(db) == 3
    assert views.counts(db)["void"] == 1
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()
