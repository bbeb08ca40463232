"""What lists of jobs say of clips: the page's JSON and the command line's column."""

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
