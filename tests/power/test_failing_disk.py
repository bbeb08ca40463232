"""A disk that fails: whichever operation it is, nothing that was promised is lost, and it recovers.

A child process buys while its nth operation on the ledger's files fails, once or from then on; for
every n.
"""

import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.power import layer
from tests.power.chance import dice_of
from tests.power.heard import Heard
from tests.power.oracle import problems

SEED = 1
NEVER = 0
AT_ONCE, BEYOND = 100, 30
"""How many are swept together; runs differ by a few operations, as threads meet otherwise."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a process said while its disk failed."""

    lines: list[str]

    @property
    def well(self) -> int:
        """The line with which the disk got well."""
        return next((n for n, line in enumerate(self.lines) if '"well"' in line), len(self.lines))

    def before(self) -> Heard:
        """What was said until the disk got well."""
        return Heard.of(self.lines[: self.well])

    def every(self) -> Heard:
        """All that was said."""
        return Heard.of(self.lines)

    def after(self) -> Heard:
        """What was said once the disk was well; what was said of sales before is left out."""
        return Heard.of(line for line in self.lines[self.well :] if '"unavailable"' in line)


def swept(library: Path, shelf: Path, plans: list[str]) -> dict[str, Told]:
    """Run the sweep, and hear what each process said."""
    layer.run(library, shelf, "sweeper", SEED, *plans, log=None)
    return {plan: Told((shelf / f"{plan}.said").read_text().splitlines()) for plan in plans}


def operations(library: Path, shelf: Path) -> list[int]:
    """How many operations there are for each fault, when none fails."""
    plans = [f"{number}:{NEVER}" for number in range(len(layer.FAULTS))]
    told = swept(library, shelf, plans).values()
    return [each.every().said("well")[0]["seen"] for each in told]


async def wrong(shelf: Path, plan: str, told: Told) -> list[str]:
    """All that is wrong with one process and with what it left, in words."""
    fault = layer.FAULTS[int(plan.partition(":")[0])]
    found = [f"broke: {each['problem']}" for each in told.every().said("broke")]
    if not found and not told.every().said("done"):
        found.append("died")
    found += [f"not well again: {each['problem']}" for each in told.after().words]
    if fault.times == 1 and (rounds := _failed_rounds(told)) > 1:
        found.append(f"one fault, {rounds} rounds of failure")
    if not found:
        found += [
            f"killed: {each}" for each in await problems(shelf / f"{plan}.killed", told.before())
        ]
        found += [
            f"closed: {each}" for each in await problems(shelf / plan, told.every(), exact=True)
        ]
    return [f"{fault.name}, {plan}: {each}" for each in found]


def _failed_rounds(told: Told) -> int:
    words = "".join(
        "r" if each["word"] == "round" else "u" if each["word"] == "unavailable" else ""
        for each in told.every().words
    )
    return sum("u" in each for each in words.split("r"))


def sample(totals: list[int], dice: random.Random, each: int) -> list[str]:
    """Some operations for each fault: the first ones, where the ledger is made, and others."""
    return [
        f"{number}:{nth}"
        for number, total in enumerate(totals)
        for nth in sorted({*range(1, 5), *dice.sample(range(5, total + 1), each)})
    ]


async def test_each_operation_fails(library: Path, shelf: Path) -> None:
    """Nothing promised is lost, nothing waits for ever, and a disk that got well is used again."""
    plans = sample(operations(library, shelf), dice_of(SEED), 6)
    told = swept(library, shelf, plans)
    assert [each for plan in plans for each in await wrong(shelf, plan, told[plan])] == []
    failures = Counter(each["word"] for one in told.values() for each in one.before().words)
    assert failures["unavailable"] > len(plans) / 2
    assert failures["not started"] > len(layer.FAULTS)


@pytest.mark.slow
async def test_every_single_operation_fails(library: Path, shelf: Path) -> None:
    """The same, for every operation that there is, and some more."""
    for number, total in enumerate(operations(library, shelf)):
        for start in range(1, total + BEYOND, AT_ONCE):
            plans = [f"{number}:{nth}" for nth in range(start, start + AT_ONCE)]
            told = swept(library, shelf, plans)
            assert [each for plan in plans for each in await wrong(shelf, plan, told[plan])] == []
            for plan in plans:
                shutil.rmtree(shelf / plan)
                shutil.rmtree(shelf / f"{plan}.killed")
