"""The directory of clips: written by one thread, never held in memory, whole or not there at all.

A clip grows under a random name, is made durable, and only then gets its own: a hash of whose job
it is, never a name from outside. What a crash leaves behind is a part, and parts are swept away.
The same thread throws a part away that wrote it, so that nothing is written to a file that was
closed.

What all files together may take is counted here, with what is being written; and a disk is never
filled to its end, for the ledger is on it too.
"""

import asyncio
import hashlib
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeVar

from proxy.store.schema import sync_names

T = TypeVar("T")
PART: Final = ".part-"
SUFFIX: Final = ".clip"
WRITE_BYTES: Final = 1 << 20
"""What is gathered before it is written: a turn of the thread costs more than a small write."""
SYNC_BYTES: Final = 8 << 20
"""What may be unwritten at a time: the ledger's next commit would have to wait for all of it."""
FREE_BYTES_MIN: Final = 256 << 20
"""What is left free on the disk for whoever else is on it, the ledger first of all."""
READ_BYTES: Final = 256 << 10
_PART_BYTES: Final = 16
_YIELD: Final = 3
"""How much longer than it wrote a fetch rests: whoever pays goes in between."""


class FullError(Exception):
    """There is no room for another clip now."""


class ClipFiles:
    """The files of one directory. `free_bytes_min` is what stays free on its disk."""

    def __init__(self, directory: Path, free_bytes_min: int = FREE_BYTES_MIN) -> None:
        self.directory = directory
        self._free_bytes_min = free_bytes_min
        self._writer = ThreadPoolExecutor(1, "clip-writer")
        self._kept_bytes = 0
        self._growing: dict[str, int] = {}

    def path(self, provider: str, job: str) -> Path:
        """Where a job's clip is kept."""
        words = f"{provider}\0{job}".encode("utf-8", "surrogatepass")
        return self.directory / f"{hashlib.sha256(words).hexdigest()}{SUFFIX}"

    def open(self, provider: str, job: str, size: int) -> "ClipFile | None":
        """Open a kept clip; None where it is not there, or is not what was written."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self.path(provider, job), flags)
        except OSError:
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            os.close(descriptor)
            return None
        return ClipFile(descriptor)

    async def part(self, length: int | None, total_bytes_max: int) -> "Part":
        """Begin a clip; FullError where there is no room for it. Whoever has it discards it."""
        part = Part(
            self, self.directory / f"{PART}{secrets.token_hex(_PART_BYTES)}", total_bytes_max
        )
        try:
            self.make_room(part.path.name, length or 1, total_bytes_max)
            await self.in_turn(lambda: part.open(length or 0))
        except BaseException:
            part.discard()
            raise
        return part

    def make_room(self, part: str, size: int, total_bytes_max: int) -> None:
        """Count a part with at least that size; FullError where that is too much."""
        size = max(size, self._growing.get(part, 0))
        others = sum(bytes_ for name, bytes_ in self._growing.items() if name != part)
        if self._kept_bytes + others + size > total_bytes_max:
            raise FullError(f"mirror.total_bytes_max, {total_bytes_max}, is reached")
        self._growing[part] = size

    def leave_free(self, size: int) -> None:
        """Look whether so much more may be written to the disk; FullError if not."""
        disk = os.statvfs(self.directory)
        if disk.f_bavail * disk.f_frsize < size + self._free_bytes_min:
            raise FullError(f"the disk is full but for {self._free_bytes_min} bytes")

    def put(self, part: Path, final: Path, size: int) -> None:
        """Give a durable part its name, durably. For the thread that writes."""
        with suppress(FileNotFoundError):
            size -= final.stat(follow_symlinks=False).st_size
        part.rename(final)
        self._kept_bytes += size
        sync_names(self.directory)

    def drop(self, part: str, work: Callable[[], None]) -> None:
        """Count a part no more, and have the thread do what is left to do."""
        if self._growing.pop(part, None) is not None:
            self._writer.submit(work)

    async def tidy(self) -> None:
        """Sweep away what a crash left behind, and count what is there."""
        growing = tuple(self._growing)
        await self.in_turn(lambda: self._tidy(growing))

    async def remove(self, keys: Collection[tuple[str, str]]) -> None:
        """Delete clips, as far as they are there."""
        await self.unlink([self.path(*key) for key in keys])

    async def strays(self, before: float) -> list[Path]:
        """The clips that were last written before a time (Unix seconds)."""
        return await self.in_turn(lambda: self._older(before))

    async def unlink(self, paths: Collection[Path]) -> None:
        """Delete files of this directory, as far as they are there."""
        await self.in_turn(lambda: self._unlink(paths))

    async def in_turn(self, work: Callable[[], T]) -> T:
        """Have the thread do something, after all that it was told before."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def close(self) -> None:
        """Finish what the thread was told; nothing can be written afterwards."""
        self._writer.shutdown()

    def _tidy(self, growing: Collection[str]) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        total = 0
        for entry in self._entries():
            if entry.name.startswith(PART) and entry.name not in growing:
                with suppress(OSError):  # it is in nobody's way
                    Path(entry.path).unlink()
            elif entry.name.endswith(SUFFIX):
                total += entry.stat(follow_symlinks=False).st_size
        self._kept_bytes = total

    def _older(self, before: float) -> list[Path]:
        return [
            Path(entry.path)
            for entry in self._entries()
            if entry.name.endswith(SUFFIX) and entry.stat(follow_symlinks=False).st_mtime < before
        ]

    def _entries(self) -> list[os.DirEntry[str]]:
        """What lies in the directory, but for other directories: those are none of ours."""
        with os.scandir(self.directory) as entries:
            return [entry for entry in entries if not entry.is_dir(follow_symlinks=False)]

    def _unlink(self, paths: Collection[Path]) -> None:
        for path in paths:
            with suppress(FileNotFoundError, IsADirectoryError):
                size = path.stat(follow_symlinks=False).st_size
                path.unlink()
                self._kept_bytes -= size


class Part:
    """A clip that is being written. What is added is gathered, hashed and counted."""

    def __init__(self, files: ClipFiles, path: Path, total_bytes_max: int) -> None:
        self.path = path
        self.size = 0
        self._files = files
        self._total_bytes_max = total_bytes_max
        self._gathered = bytearray()
        self._descriptor = -1
        self._unsynced = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        """The hash of what was written."""
        return self._hash.digest()

    async def add(self, chunk: bytes) -> None:
        """Write some more; FullError where there is no room for it."""
        self.size += len(chunk)
        self._files.make_room(self.path.name, self.size, self._total_bytes_max)
        self._gathered += chunk
        if len(self._gathered) >= WRITE_BYTES:
            await self._flush()

    async def finish(self, provider: str, job: str) -> None:
        """Make it durable, and only then a job's clip."""
        await self._flush()
        final = self._files.path(provider, job)
        await self._files.in_turn(lambda: self._finish(final))

    def discard(self) -> None:
        """Let go of it, and of its file where it is no clip yet."""
        self._files.drop(self.path.name, self._discard)

    def open(self, length: int) -> None:
        """Make the file. For the thread that writes."""
        self._files.leave_free(length)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o600)

    async def _flush(self) -> None:
        data, self._gathered = self._gathered, bytearray()
        began = time.monotonic()
        await self._files.in_turn(lambda: self._write(data))
        await asyncio.sleep((time.monotonic() - began) * _YIELD)

    def _write(self, data: bytearray) -> None:
        self._files.leave_free(len(data))
        self._hash.update(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._unsynced += len(data)
        if self._unsynced >= SYNC_BYTES:
            os.fdatasync(self._descriptor)
            self._unsynced = 0

    def _finish(self, final: Path) -> None:
        os.fsync(self._descriptor)
        self._files.put(self.path, final, self.size)

    def _discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        with suppress(OSError):
            self.path.unlink()


class ClipFile(AsyncIterator[bytes]):
    """A kept clip, read piece by piece, and closed however that ends, also if it never begins."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = self._end = 0

    def part(self, first: int, end: int) -> Self:
        """Give the bytes from `first` up to `end`."""
        self._offset, self._end = first, end
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._offset >= self._end:
            self.close()
            raise StopAsyncIteration
        size = min(READ_BYTES, self._end - self._offset)
        chunk = await asyncio.to_thread(os.pread, self._descriptor, size, self._offset)
        if not chunk:
            raise OSError("a kept clip has become shorter")
        self._offset += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Stop, wherever it is."""
        self.close()

    def close(self) -> None:
        """The same, from where nothing can be awaited."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
