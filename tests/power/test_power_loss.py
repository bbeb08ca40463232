"""Power loss: what a reservation was promised for is there afterwards, and counts.

A child process buys over a layer that keeps a log of every change to the ledger's files; the log is
cut anywhere, a disk that may have forgotten what was not synced is made of it, and the real ledger
opens what is left.
"""

import shutil
from collections.abc import Callable

import pytest

from proxy.core.ledger import State
from tests.power.chance import dice_of
from tests.power.disk import Disk, Luck
from tests.power.heard import Heard, Sale
from tests.power.losses import ROUNDS, Shop, found, sample
from tests.power.oracle import problems
from tests.power.spender import BUYERS, SESSIONS
from tests.store.books import START


def test_layer_sees_all(shop: Shop) -> None:
    """The log, played with the best of luck, gives the very files that are there."""
    run = shop.bought(1)
    disk = Disk()
    for entry in run.entries:
        disk.play(entry)
    place = run.directory.with_name("found")
    disk.after_power_loss(place, Luck(dice_of(1), 1, 0))
    kept = {path.name: path.read_bytes() for path in run.directory.iterdir()}
    assert {path.name: path.read_bytes() for path in place.iterdir()} == kept
    words = {entry.word for entry in run.entries}
    assert words >= {"create", "write", "sync", "syncdir", "unlink", "mark"}
    assert len(run.heard().promised) == SESSIONS * ROUNDS * BUYERS


async def test_judge_sees_each_difference(shop: Shop) -> None:
    """What was heard otherwise than the ledger has it is named."""
    run = shop.bought(4)

    async def judged(change: Callable[[Heard], object]) -> set[str]:
        place = shutil.copytree(run.directory, run.directory.with_name("judged"))
        heard = run.heard()
        change(heard)
        wrong = await problems(place, heard)
        shutil.rmtree(place)
        return {each.partition(":")[0] for each in wrong}

    sales = run.heard().sales.items()
    first = next(payment for payment, sale in sales if State.VOID not in sale.states)
    never = Sale(1, ("all",), START, promised=True)
    assert await judged(lambda heard: heard) == set()
    assert await judged(lambda heard: heard.sales.update(never=never)) == {"lost"}
    assert await judged(lambda heard: heard.sales.pop(first)) >= {"never asked for"}
    dearer = {"changed", "miscounted"}
    assert await judged(lambda heard: setattr(heard.sales[first], "usd", 10**6)) == dearer
    nowhere: frozenset[State] = frozenset()
    assert await judged(lambda heard: setattr(heard.sales[first], "states", nowhere)) == {
        "gone back"
    }


async def test_power_goes(shop: Shop) -> None:
    """Wherever it goes, what was promised is there and counts, and nothing else is."""
    run = shop.bought(2)
    assert await found(run, sample(run, dice_of(2), 40, 15), 2) == []


@pytest.mark.parametrize(("level", "says"), [("NORMAL", "lost"), ("OFF", "unusable")])
async def test_layer_finds_what_is_not_synced(shop: Shop, level: str, says: str) -> None:
    """A ledger that syncs less than ours loses what it promised, and the judge sees it."""
    run = shop.bought(3, level)
    wrong = await found(run, sample(run, dice_of(3), 15, 5), 3)
    assert [each for each in wrong if f": {says}: " in each]


@pytest.mark.parametrize("nth", [4, 6, 41])
async def test_power_goes_after_a_sync_failed(shop: Shop, nth: int) -> None:
    """What the system then takes for written and is not, the ledger does not rely on."""
    run = shop.bought(nth, nth=nth)
    assert [each for each in run.entries if each.word == "syncfailed"]
    assert await found(run, sample(run, dice_of(nth), 10, 5), nth) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 11])
async def test_power_goes_anywhere(shop: Shop, seed: int) -> None:
    """The same, cut at every single entry of the log."""
    run = shop.bought(seed)
    assert await found(run, range(len(run.entries) + 1), seed) == []


@pytest.mark.slow
async def test_power_goes_after_any_sync_failed(shop: Shop) -> None:
    """The same, for every sync that there is."""
    syncs = shop.bought(1).heard().said("done")[0]["seen"]
    wrong = []
    for nth in range(1, syncs + 1):
        run = shop.bought(1000 + nth, nth=nth)
        wrong += await found(run, sample(run, dice_of(nth), 30, 20), nth)
    assert wrong == []
