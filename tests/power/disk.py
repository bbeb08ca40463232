"""A disk that may forget: what a directory can look like after the power went.

The layer's log is played back. What was synced is there for certain. Of what was written since, a
disk may hold anything that the system's cache held at some time, each sector of 512 bytes by
itself: nothing, all of it, or any part in any order. A file's length and its name are as uncertain
until the file, or the directory, is synced. A sync that failed leaves its sectors uncertain for
good: the system takes them for written and does not write them again until they change once more.
(Names are kept in a file system's journal; there a later sync makes up for one that failed.)
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

SECTOR: Final = 512
"""What a disk writes whole, or not at all."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Luck:
    """How likely the newest and the oldest version are to be found; else it is any of them."""

    dice: random.Random
    newest: float
    oldest: float

    def one(self, versions: list[T]) -> T:
        """What the disk holds after all."""
        drawn = self.dice.random()
        if drawn < self.newest:
            return versions[-1]
        return versions[0] if drawn < self.newest + self.oldest else self.dice.choice(versions)


LUCKS: Final = ((0, 1), (1, 0), (0, 0), (0.5, 0.5), (0.1, 0.9), (0.9, 0.1))
"""Nothing that was not synced, all of it, and what may lie between."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log: what was done, to what, and its bytes."""

    word: str
    details: tuple[str, ...]
    payload: bytes


def entries(log: bytes) -> Iterator[Entry]:
    """Read a log."""
    at = 0
    while at < len(log):
        end = log.index(b"\n", at)
        word, *details = log[at:end].decode().split(" ")
        at = end + 1
        length = int(details[-1]) if word in ("write", "mark") else 0
        yield Entry(word, tuple(details), log[at : at + length])
        at += length


@dataclass
class Uncertain:
    """Something of which the disk holds one of several versions, the last of them the newest."""

    versions: list[bytes]
    dirty: bool = True


@dataclass
class File:
    """A file as programs see it, and what of it may be otherwise on the disk."""

    cache: bytearray = field(default_factory=bytearray)
    sectors: dict[int, Uncertain] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=lambda: [0])

    def write(self, at: int, data: bytes) -> None:
        """Change some bytes."""
        self._change(range(at // SECTOR, (at + len(data) - 1) // SECTOR + 1), at, data)

    def resize(self, length: int) -> None:
        """Cut the file, or let zeros follow."""
        shorter = range(length // SECTOR, (len(self.cache) + SECTOR - 1) // SECTOR)
        if length < len(self.cache):
            self._change(shorter, length, bytes(len(self.cache) - length))
            del self.cache[length:]
        self.cache.extend(bytes(length - len(self.cache)))
        self.lengths.append(length)

    def synced(self) -> None:
        """Know all that changed since the last time for certain."""
        self.sectors = {at: sector for at, sector in self.sectors.items() if not sector.dirty}
        self.lengths = [len(self.cache)]

    def sync_failed(self) -> None:
        """Take what changed for written, which it need not be."""
        for sector in self.sectors.values():
            sector.dirty = False

    def after_power_loss(self, luck: Luck) -> bytes:
        """The file as it may be found."""
        length = luck.one(self.lengths)
        found = self.cache[:length].ljust(length, b"\0")
        for number, sector in self.sectors.items():
            at = number * SECTOR
            if at < length:
                found[at : at + SECTOR] = luck.one(sector.versions)[: length - at]
        return bytes(found)

    def _change(self, numbers: range, at: int, data: bytes) -> None:
        for number in numbers:
            self.sectors.setdefault(number, Uncertain([self._sector(number)]))
        end = at + len(data)
        if end > len(self.cache):
            self.cache.extend(bytes(end - len(self.cache)))
            self.lengths.append(end)
        self.cache[at:end] = data
        for number in numbers:
            self.sectors[number].versions.append(self._sector(number))
            self.sectors[number].dirty = True

    def _sector(self, number: int) -> bytes:
        return bytes(self.cache[number * SECTOR : (number + 1) * SECTOR]).ljust(SECTOR, b"\0")


@dataclass
class Disk:
    """A directory on a disk, while the log is played.

    `names` says for which file a name may stand, None for none; the last is the newest.
    """

    files: dict[str, File] = field(default_factory=dict)
    names: dict[str, list[File | None]] = field(default_factory=dict)

    def play(self, entry: Entry) -> None:
        """Do what one entry of the log says."""
        match entry.word, entry.details:
            case "create", (inode, name):
                self.files[inode] = File()
                self._name(name).append(self.files[inode])
            case "unlink", (name,):
                self._name(name).append(None)
            case "syncdir", ():
                self.names = {name: files[-1:] for name, files in self.names.items()}
            case "mark" | "syncdirfailed", _:
                pass
            case word, (inode, *numbers):
                self._play(self.files[inode], word, [int(n) for n in numbers], entry.payload)

    @staticmethod
    def _play(file: File, word: str, numbers: list[int], payload: bytes) -> None:
        match word:
            case "write":
                file.write(numbers[0], payload)
            case "size":
                file.resize(numbers[0])
            case "sync":
                file.synced()
            case "syncfailed":
                file.sync_failed()
            case unknown:
                raise AssertionError(unknown)

    def after_power_loss(self, directory: Path, luck: Luck) -> None:
        """Make the directory as it may be found; what lives in shared memory alone is gone."""
        directory.mkdir()
        for name, files in self.names.items():
            file = luck.one(files)
            if file is not None and not name.endswith("-shm"):
                (directory / name).write_bytes(file.after_power_loss(luck))

    def _name(self, name: str) -> list[File | None]:
        return self.names.setdefault(name, [None])
