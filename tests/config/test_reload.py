"""Reloading: however a file changes, the good is applied and the bad changes nothing."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.configfile import ConfigError, Loaded, Problem, read_config
from proxy.reload import ConfigWatcher
from tests.config.conftest import MINIMAL, Write

DEADLINE_S = 20
"""Far more than any machine needs; a condition that holds is seen within milliseconds."""


class Daemon:
    """What a watcher works for: it keeps each config that was applied, and can refuse one."""

    def __init__(self) -> None:
        self.days: list[str] = []
        self.refuse = ""

    async def apply(self, loaded: Loaded) -> None:
        """Take a config over, or refuse it."""
        if self.refuse:
            raise ConfigError([Problem("wallet.key", self.refuse)])
        self.days.append(day_of(loaded))


def day_of(loaded: Loaded) -> str:
    """The day's cap, which tells the configs of these tests apart."""
    return str(loaded.config.caps.day)


def text(day: int) -> str:
    """A config with this cap for the day."""
    return MINIMAL.replace('day: "2.00"', f'day: "{day}.00"')


def usd(*days: int) -> list[str]:
    """The caps that these configs have, as the model holds them."""
    return [str(day * 10**6) for day in days]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, for a bounded time."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - files have no event to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def watching(path: Path, daemon: Daemon) -> AsyncIterator[ConfigWatcher]:
    """Run a watcher on a file, with a clock that counts 1, 2, 3."""
    ticks = itertools.count(1.0)
    watcher = ConfigWatcher(read_config(path), daemon.apply, lambda: next(ticks))
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def replace(path: Path, content: str) -> None:
    """Replace a file as editors and deployments do: write another, and rename it."""
    other = path.with_name("config.yaml.new")
    other.write_text(content, encoding="utf-8")
    other.chmod(0o600)
    other.replace(path)


async def test_atomic_replacement_three_times(write: Write) -> None:
    """Each of three replacements of the file is seen: the directory is watched, not the file."""
    path, daemon = write(text(2)), Daemon()
    async with watching(path, daemon) as watcher:
        for day in (3, 4, 5):
            replace(path, text(day))
            await until(lambda: watcher.status.digest == read_config(path).digest)
        assert daemon.days == usd(3, 4, 5)
        assert watcher.status.ok
        assert watcher.status.loaded_at == 4.0


async def test_write_in_place(write: Write) -> None:
    """A file that is written into is read when it no longer changes."""
    path, daemon = write(text(2)), Daemon()
    async with watching(path, daemon):
        path.write_text(text(3), encoding="utf-8")
        await until(lambda: daemon.days == usd(3))


async def test_half_written_file_is_never_applied(write: Write) -> None:
    """A file that grows is applied once it is whole, though its first half is valid too."""
    path, daemon = write(text(2)), Daemon()
    async with watching(path, daemon):
        with path.open("w", encoding="utf-8") as file:
            for piece in (text(3), *(["# more\n"] * 20), "limits: {drain_s: 7}\n"):
                file.write(piece)
                file.flush()
                await asyncio.sleep(0.02)
        await until(lambda: bool(daemon.days))
        assert read_config(path).config.limits.drain_s == 7
        assert daemon.days == usd(3)


async def test_bad_edit_keeps_the_last_good(write: Write) -> None:
    """A bad edit is told once and changes nothing; the next good one mends it."""
    path, daemon = write(text(2)), Daemon()
    good = read_config(path).digest
    with capture_logs() as logs:
        async with watching(path, daemon) as watcher:
            replace(path, text(3) + "caps: {}\n")
            await until(lambda: not watcher.status.ok)
            assert (
                watcher.status.error == "caps: the same key stands twice: first on line 1 (line 4)"
            )
            assert watcher.status.digest == good
            assert watcher.status.loaded_at == 1.0
            replace(path, text(4))
            await until(lambda: watcher.status.ok)
    assert daemon.days == usd(4)
    assert [entry["event"] for entry in logs] == ["config_rejected", "config_reloaded"]


@pytest.mark.parametrize(
    "spoil",
    [os.unlink, lambda path: path.chmod(0o666), os.truncate],
    ids=["gone", "writable", "empty"],
)
async def test_file_that_goes_bad(write: Write, spoil: Callable[..., None]) -> None:
    """A file that is gone, writable for others or empty is bad, and never a set of defaults."""
    path, daemon = write(text(2)), Daemon()
    async with watching(path, daemon) as watcher:
        if spoil is os.truncate:
            os.truncate(path, 0)
        else:
            spoil(path)
        await until(lambda: not watcher.status.ok)
        replace(path, text(2))
        await until(lambda: watcher.status.ok)
        assert set(daemon.days) == set(usd(2))


async def test_config_that_the_daemon_refuses(write: Write) -> None:
    """What validates may still not be applied: then the last good one stays in force."""
    path, daemon = write(text(2)), Daemon()
    daemon.refuse = "no such file"
    async with watching(path, daemon) as watcher:
        replace(path, text(3))
        await until(lambda: not watcher.status.ok)
        assert watcher.status.error == "wallet.key: no such file"
        daemon.refuse = ""
        watcher.poke()
        await until(lambda: watcher.status.ok)
        assert daemon.days == usd(3)


async def test_poke_applies_the_same_content(write: Write) -> None:
    """SIGHUP reads again even where the config is the same: a key that it names may not be."""
    path, daemon = write(text(2)), Daemon()
    async with watching(path, daemon) as watcher:
        watcher.poke()
        await until(lambda: daemon.days == usd(2))
        assert watcher.status.loaded_at == 2.0


async def test_touch_applies_nothing(write: Write) -> None:
    """An event without another content is no reload."""
    path, daemon = write(text(2)), Daemon()
    async with watching(path, daemon):
        replace(path, text(2))
        os.utime(path)
        write("x", "neighbour")
        replace(path, text(3))
        await until(lambda: daemon.days == usd(3))


async def test_symlink_swap(tmp_path: Path) -> None:
    """A swap of the directory behind two symlinks is seen, as Kubernetes mounts its ConfigMaps."""
    for day in (2, 3, 4):
        version = tmp_path / f"..{day}"
        version.mkdir()
        replace(version / "config.yaml", text(day))
    (tmp_path / "..data").symlink_to("..2")
    path = tmp_path / "config.yaml"
    path.symlink_to("..data/config.yaml")
    daemon = Daemon()
    async with watching(path, daemon):
        for day in (3, 4):
            (tmp_path / "..tmp").symlink_to(f"..{day}")
            (tmp_path / "..tmp").replace(tmp_path / "..data")
            await until(lambda: daemon.days == usd(*range(3, day + 1)))  # noqa: B023 - awaited at once
        replace(tmp_path / "..4" / "config.yaml", text(5))
        await until(lambda: daemon.days == usd(3, 4, 5))


async def test_directory_that_is_replaced(tmp_path: Path) -> None:
    """A directory that another one takes the place of is watched anew."""
    for name, day in (("a", 2), ("b", 3)):
        (tmp_path / name).mkdir()
        replace(tmp_path / name / "config.yaml", text(day))
    path, daemon = tmp_path / "a" / "config.yaml", Daemon()
    async with watching(path, daemon):
        (tmp_path / "a").rename(tmp_path / "old")
        (tmp_path / "b").rename(tmp_path / "a")
        await until(lambda: daemon.days == usd(3))
        replace(path, text(4))
        await until(lambda: daemon.days == usd(3, 4))


@pytest.mark.parametrize("steps", range(6))
async def test_cancellation_that_meets_an_event(write: Write, steps: int) -> None:
    """A watcher stops when told, also in the very step in which it learns of something."""
    daemon = Daemon()
    watcher = ConfigWatcher(read_config(write(text(2))), daemon.apply, lambda: 1.0)
    task = asyncio.create_task(watcher.run())
    watcher.poke()
    await until(lambda: daemon.days == usd(2))
    await asyncio.sleep(0.01)
    watcher.poke()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=DEADLINE_S)
    assert done
    assert task.cancelled()
