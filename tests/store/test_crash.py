"""Dying in the middle: what was said to be reserved is there afterwards, and counts."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.ledger import Evidence, State
from proxy.store import views
from proxy.store.ledger import Ledger
from tests.store.books import Books, Clock, opened, rows

HEARD = 60
"""How many reservations a victim is let to announce before it is killed."""


@pytest.mark.parametrize(
    ("story", "after"),
    [
        ((), State.UNKNOWN),
        ((Evidence.SENT,), State.UNKNOWN),
        ((Evidence.NO_RECEIPT,), State.UNKNOWN),
        ((Evidence.RECEIPT,), State.SETTLED),
        ((Evidence.NEVER_SENT,), State.VOID),
    ],
)
async def test_restart_with_a_hold_in_each_state(
    books: Books, tmp_path: Path, story: tuple[Evidence, ...], after: State
) -> None:
    """What was under way may have left and is unknown; what was decided stays decided.

    The file is copied while it is open, as a crash would leave it.
    """
    reserved = await books.bought(70, terms='{"to": "be rebuilt"}')
    await books.become(reserved, *story)
    copy = shutil.copytree(tmp_path, tmp_path / "after the crash")
    async with opened(copy, books.clock) as found:
        assert await found.ledger.state_of(reserved.payment) is after
        assert await found.exposure() == (0 if after is State.VOID else 70)
        live = await found.ledger.live_hold(reserved.payment, 300)
        assert (live is None) is (after is State.VOID)
        if after is State.UNKNOWN:
            assert await found.ledger.resolve(reserved, Evidence.RECEIPT) is State.SETTLED
            assert (await found.ledger.read(views.spent)) == 70


async def test_crash_again_and_again(tmp_path: Path) -> None:
    """Each restart counts what it finds once, and no more."""
    async with opened(tmp_path) as books:
        await books.bought(70)
        place = tmp_path
        for number in range(3):
            place = shutil.copytree(place, tmp_path.with_name(f"{tmp_path.name}-{number}"))
            async with opened(place, books.clock) as found:
                assert await found.exposure() == 70


@pytest.mark.parametrize("_round", range(3))
def test_sigkill_in_the_middle_of_reserving(tmp_path: Path, _round: int) -> None:
    """Whatever a killed process said to be reserved is there, unknown, and in the sums."""
    said = _kill_in_the_middle(tmp_path)
    assert len(said) >= HEARD
    _after_the_kill(tmp_path, said)


def _kill_in_the_middle(directory: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.store.crasher", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        said = [victim.stdout.readline() for _ in range(HEARD)]
        victim.kill()
        said += victim.stdout.readlines()
    return [line.strip() for line in said if line.endswith("\n")]


def _after_the_kill(directory: Path, said: list[str]) -> None:
    async def look() -> None:
        ledger = await Ledger.open(directory, Clock().clocks)
        assert await ledger.read(views.exposure) == 10 * len(_states(directory))
        await ledger.close()

    asyncio.run(look())
    states = _states(directory)
    assert set(said) <= set(states)
    assert set(states.values()) == {"unknown"}
    assert rows(directory, "SELECT count(*) FROM payee") == [(1,)]


def _states(directory: Path) -> dict[str, str]:
    return dict(rows(directory, "SELECT payment, state FROM hold"))


def test_full_disk(tmp_path: Path) -> None:
    """Where no more can be written nothing is reserved, nothing is lost, and it recovers."""
    command = [sys.executable, "-m", "tests.store.crasher", str(tmp_path), "1000000"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    *said, full, ready, last = ran.stdout.split("\n")[:-1]
    assert (full, ready) == ("full", "not ready")
    assert len(said) > 10
    assert set(_states(tmp_path)) == {*said, last}
    assert rows(tmp_path, "SELECT held FROM balance") == [(10 * (len(said) + 1),)]
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
