"""What lists of jobs say of clips: the page's JSON and the command line's column."""

import time
from pathlib import Path

import pytest

from proxy.store import Memory, clips, views
from proxy.store.clips import Kept
from proxy.store.memory import remember
from tests.cli.house import House, build

AT = 1_700_000_000


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A ledger with four finished jobs."""
    house = build(tmp_path)
    with house.opened() as db:
        for number in range(4):
            job = Memory(f"job:{number}", "job", "maker", state="completed", answer=b"{}")
            remember(db, [job], AT + number)
    return house


def test_no_clips(house: House) -> None:
    """Where nothing is kept, nothing is said of clips."""
    assert "CLIP" not in house.call("jobs", "--text").out
    assert all("clip" not in job for job in house.call("jobs").json()["jobs"])


def test_clip_that_waits_for_a_person(house: House) -> None:
    """It is said first by `status`, and by `doctor` with what to do."""
    with house.opened() as db:
        clips.begin(db, ("maker", "job:1"), AT)
        clips.give_up(db, ("maker", "job:1"), "x.example is not allowed\x1b[2J", "x.example")
        db.execute("UPDATE memory SET created_at = ?", (int(time.time()),))
    first, *_ = house.call("status", "--text").out.splitlines()
    assert first.startswith("ALERT clip_waiting since ")
    assert "a finished clip is not on this disk yet, maker's job:1: x.example is not" in first
    assert "\x1b" not in first
    doctor = house.call("doctor").json()["checks"]
    (told,) = [finding for finding in doctor if finding["check"] == "clip_waiting"]
    assert (told["verdict"], told["todo"].split(";")[0]) == (
        "warn",
        "see to it before the provider's link ends",
    )


def test_clips(house: House) -> None:
    """Each job says what became of its clip; one that nobody tried says nothing."""
    with house.opened() as db:
        for number in range(3):
            clips.begin(db, ("maker", f"job:{number}"), AT)
        clips.keep(db, ("maker", "job:0"), Kept(123, bytes(32), "video/mp4"), AT)
        clips.give_up(db, ("maker", "job:1"), "x.example is not allowed\x1b[2J", "x.example")
        found = views.jobs(db)["jobs"]
    assert [job.get("clip") for job in found] == [
        None,
        {"state": "fetching"},
        {"state": "failed", "note": "x.example is not allowed\x1b[2J"},
        {"state": "kept", "bytes": 123},
    ]
    assert house.call("jobs").json()["jobs"] == found
    header, *lines = house.call("jobs", "--text").out.splitlines()
    assert header.split()[-1] == "CLIP"
    assert [line.split()[-1] for line in lines] == ["completed", "fetching", "failed", "kept"]
