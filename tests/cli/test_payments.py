"""`farebox payments`: list, show and export; `test_resolve` has the rest."""

import csv
import io
import json
import shlex
import sqlite3
import subprocess
from contextlib import closing

import pytest

from proxy.core.ledger import Evidence
from proxy.store.schema import FILE_NAME, MIGRATIONS
from tests.cli.house import Entry, House, clean_environment, command
from tests.rig.process import ROOT

TX = "0x" + "ab" * 32
SETTLED = Entry("pay_1", "0.50", Evidence.RECEIPT, age_s=90, tx=TX)
UNKNOWN = Entry("pay_2", "0.25", Evidence.NO_RECEIPT, age_s=60, note="no receipt")
VOID = Entry("pay_3", "0.10", Evidence.NEVER_SENT, age_s=30, path="/v1/chat/completions")


@pytest.fixture
def books(house: House) -> House:
    """A ledger with three payments."""
    house.enter(SETTLED, UNKNOWN, VOID)
    return house


def test_nothing_was_paid_yet(house: House) -> None:
    """Without a ledger there is nothing to list, which is fine, and none is made."""
    assert house.run("payments", "--text").out == "Nothing was paid yet.\n"
    assert house.run("payments").json() == {"payments": []}
    assert house.run("payments", "export").out.count("\n") == 1
    assert not house.state_dir.exists()


def test_list_for_programs(books: House) -> None:
    """The newest come first, in the shape of the daemon's own page."""
    found = books.run("payments").json()

    assert [(p["id"], p["state"], p["usd"]) for p in found["payments"]] == [
        ("pay_3", "void", "0.10"),
        ("pay_2", "unknown", "0.25"),
        ("pay_1", "settled", "0.50"),
    ]
    assert found["payments"][2]["tx"] == TX
    assert found["payments"][2]["amount"] == "500000"
    assert found["payments"][2]["authorizations"][0]["state"] == "settled"
    assert "next" not in found


def test_list_for_people(books: House) -> None:
    """The columns are aligned, and an unknown outcome is called out."""
    lines = books.run("payments", "list", "--text").out.splitlines()

    assert lines[0].split() == ["ID", "WHEN", "AMOUNT", "STATE", "WHAT"]
    assert len({line.index(word) for line, word in zip(lines, _states(), strict=True)}) == 1
    assert lines[3].endswith("blockrun: POST /v1/portrait/enroll")


def test_list_in_pages(books: House) -> None:
    """`--limit` ends a page, and its `next` begins the following one."""
    first = books.run("payments", "--limit", "2").json()
    rest = books.run("payments", "--before", first["next"]).json()

    assert [p["id"] for p in first["payments"] + rest["payments"]] == ["pay_3", "pay_2", "pay_1"]
    assert "--before pay_2" in books.run("payments", "--limit", "2", "--text").out


def test_list_one_state(books: House) -> None:
    """`--state` keeps the others out; a state that there is not is wrong usage."""
    assert [p["id"] for p in books.run("payments", "--state", "unknown").json()["payments"]] == [
        "pay_2"
    ]
    assert books.run("payments", "--state", "sent", "--text").out == "No such payments.\n"
    assert books.run("payments", "--state", "lost").code == 2


def test_show(books: House) -> None:
    """One payment with its authorizations, for programs and for people, options anywhere."""
    found = books.run("payments", "--json", "show", "pay_1").json()
    card = books.run("payments", "show", "pay_1", "--text").out

    assert (found["id"], found["tx"], found["http_status"]) == ("pay_1", TX, 200)
    assert "$0.50" in card
    assert "the provider's receipt" in card
    assert found["authorizations"][0]["nonce"] in card


def test_show_one_that_is_not_there(books: House) -> None:
    """An id that nobody knows is exit code 1, and nothing on standard output."""
    said = books.run("payments", "show", "pay_\x1b[31m9")

    assert (said.code, said.out) == (1, "")
    assert "\x1b" not in said.err


@pytest.mark.parametrize(
    "words", [("show",), ("list", "--before"), ("resolve", "--void")], ids=lambda words: words[0]
)
def test_id_that_is_no_text(books: House, words: tuple[str, ...]) -> None:
    """Bytes that are not UTF-8 are no id of anything, and nothing falls over them."""
    said = books.run("payments", *words, "\udcff")

    assert (said.code, said.out) == (2, "")
    assert "is no text in UTF-8" in said.err


def test_export_as_csv(books: House) -> None:
    """Every payment is one row under one header."""
    rows = list(csv.DictReader(io.StringIO(books.run("payments", "export", "--csv").out)))

    assert [(row["id"], row["usd"], row["state"]) for row in rows] == [
        ("pay_3", "0.10", "void"),
        ("pay_2", "0.25", "unknown"),
        ("pay_1", "0.50", "settled"),
    ]
    assert rows[0]["created_at"].endswith("Z")


def test_export_as_lines_of_json(books: House) -> None:
    """Every line is a whole payment, as `show` has it."""
    lines = books.run("payments", "export", "--jsonl").out.splitlines()

    assert json.loads(lines[2]) == books.run("payments", "show", "pay_1").json()


def test_texts_that_others_wrote(house: House) -> None:
    """A note can neither move the cursor nor become a spreadsheet's formula."""
    note = '=HYPERLINK("http://evil")\x1b[2J'
    house.enter(Entry("pay_1", "0.50", Evidence.NO_RECEIPT, note=note))

    (row,) = csv.DictReader(io.StringIO(house.run("payments", "export").out))

    assert row["note"] == f"'{note}"
    for words in (("payments", "show", "pay_1"), ("status",)):
        assert "\x1b" not in house.run(*words, "--text").out


def test_ledger_of_another_release(books: House) -> None:
    """A file from a newer version is refused and not misread."""
    with closing(sqlite3.connect(books.state_dir / FILE_NAME)) as db:
        db.execute("PRAGMA user_version = 99")

    said = books.run("payments")

    assert said.code == 1
    assert "version 99" in said.err


def test_ledger_of_an_older_release(house: House) -> None:
    """What an older daemon left is read as the new one will, and stays as it is."""
    house.state_dir.mkdir()
    with closing(sqlite3.connect(house.ledger)) as db:
        db.executescript(MIGRATIONS[0])
        db.executescript("PRAGMA user_version = 1; INSERT INTO pause VALUES (1, 'x')")

    assert house.run("payments").json() == {"payments": []}
    assert house.run("status").json()["pause_reason"] == "x"
    with closing(sqlite3.connect(house.ledger)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_file_that_is_no_ledger(house: House) -> None:
    """An empty file is a ledger to come; anything else that is none is exit code 1."""
    house.state_dir.mkdir()
    file = house.state_dir / FILE_NAME
    file.touch()
    assert house.run("payments").json() == {"payments": []}

    file.write_text("these are no pages of a database " * 100)
    said = house.run("payments")

    assert (said.code, said.out) == (1, "")
    assert "cannot read the ledger" in said.err


def test_reader_that_leaves(books: House) -> None:
    """Whoever reads only the first line of an export is not told of a broken ledger."""
    words = shlex.join(command("payments", "export", config=books.config))
    done = subprocess.run(
        ["bash", "-c", f"{words} | true"],
        cwd=ROOT,
        env=clean_environment(books.directory),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert "ledger" not in done.stderr


def _states() -> tuple[str, ...]:
    return ("STATE", "void", "UNKNOWN", "settled")
