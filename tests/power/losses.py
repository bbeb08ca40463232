"""Runs of a program over the layer, and the power that goes at some moment of them."""

import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.power import layer
from tests.power.chance import dice_of
from tests.power.disk import LUCKS, Disk, Entry, Luck, entries
from tests.power.heard import Heard
from tests.power.oracle import problems
from tests.power.spender import OWN

ROUNDS: Final = 8
"""Of a purchase each for several buyers, in each session of the program."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the layer saw of a program that bought."""

    directory: Path
    entries: list[Entry]

    def heard(self) -> Heard:
        """All that the program said."""
        return Heard.of(each.payload.decode() for each in self.entries if each.word == "mark")

    def edges(self) -> list[int]:
        """How much of the log there is just before and after each sync and each promise."""
        ends = [
            number
            for number, each in enumerate(self.entries)
            if each.word.startswith("sync") or b'"reserved"' in each.payload
        ]
        return sorted({edge for end in ends for edge in (end, end + 1)})


@dataclass(frozen=True, slots=True)
class Shop:
    """Where programs buy over the layer."""

    library: Path
    shelf: Path

    def bought(
        self, seed: int, level: str = OWN, kinds: layer.Kind = layer.Kind.SYNC, nth: int = 0
    ) -> Run:
        """Let a program buy, and read the layer's log."""
        directory = self.shelf / f"{level} {seed} {kinds.value}:{nth}"
        log = directory.with_suffix(".log")
        directory.mkdir()
        words = (seed, level, ROUNDS, kinds.value, nth)
        layer.run(self.library, directory, "spender", *words, log=log)
        return Run(directory, list(entries(log.read_bytes())))


async def found(run: Run, cuts: Iterable[int], seed: int) -> list[str]:
    """Cut the power at each place, with each kind of luck, and name all that is wrong then."""
    wrong = []
    for cut, disk, heard in _played(run, sorted(set(cuts))):
        for number, luck in enumerate(LUCKS):
            place = run.directory.with_name("found")
            disk.after_power_loss(place, Luck(dice_of(f"{seed} {cut} {number}"), *luck))
            wrong += [f"{cut}, {luck}: {each}" for each in await problems(place, heard)]
            shutil.rmtree(place)
    return wrong


def _played(run: Run, cuts: list[int]) -> Iterator[tuple[int, Disk, Heard]]:
    disk, heard, done = Disk(), Heard(), 0
    for cut in cuts:
        for entry in run.entries[done:cut]:
            disk.play(entry)
            if entry.word == "mark":
                heard.hear(entry.payload.decode())
        done = cut
        yield cut, disk, heard


def sample(run: Run, dice: random.Random, edges: int, anywhere: int) -> list[int]:
    """Some of the edges, some places between, and the end."""
    every = range(len(run.entries))
    return [*dice.sample(run.edges(), edges), *dice.sample(every, anywhere), len(run.entries)]
