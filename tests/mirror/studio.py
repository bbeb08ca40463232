"""A mirror on a real ledger, a real disk and a real client, before a provider that is scripted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.clipfiles import FREE_BYTES_MIN, PART, SUFFIX, ClipFiles
from proxy.core.config import Config
from proxy.mirror import Mirror, Pace
from proxy.store import Memory, views
from proxy.upstream import AiohttpUpstream
from tests.exchange.conftest import until
from tests.exchange.provider import Got, Provider, Script, response
from tests.store.books import Books, Clock, opened

PROVIDER = "maker"
QUICK = Pace(look_s=0.01, wait_s=5)
MP4 = ("Content-Type", "video/mp4")
CLIP = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 40
"""What a clip is, if not a film."""


def film(body: bytes = CLIP, *headers: tuple[str, str]) -> bytes:
    """The answer that has a clip."""
    return response("200 OK", *(headers or (MP4,)), body=body)


def gives(*answers: bytes) -> Script:
    """Answer in turn, the last one for ever."""
    left = list(answers)

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return script


def then_closes(answer: bytes) -> Script:
    """Answer, and end the connection there."""

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return script


@dataclass
class Slow:
    """A provider that sends half of a clip, and the rest when it is told to."""

    body: bytes = CLIP
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    halfway: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _got: Got, writer: asyncio.StreamWriter) -> None:
        """Answer."""
        answer = film(self.body)
        writer.write(answer[: -len(self.body) // 2])
        await writer.drain()
        self.halfway.set()
        await self.go_on.wait()
        writer.write(answer[-len(self.body) // 2 :])


@dataclass
class Studio:
    """A mirror and what stands around it. `settings` is the config's part, None for none."""

    books: Books
    provider: Provider
    files: ClipFiles
    settings: dict[str, Any] | None
    pace: Pace
    mirror: Mirror = field(init=False)
    upstream: AiohttpUpstream = field(default_factory=AiohttpUpstream)

    def __post_init__(self) -> None:
        self.reconfigure(self.settings)
        self.mirror = Mirror(
            lambda: self.config,
            self.books.ledger,
            self.upstream,
            self.files,
            self.books.clock,
            pace=self.pace,
        )

    def reconfigure(self, settings: dict[str, Any] | None) -> None:
        """Put another config in force."""
        self.config = Config.model_validate(
            {
                "caps": {"per_request": "1.00", "day": "none"},
                "providers": {PROVIDER: {"kind": "pomex", "base_url": f"{self.provider.url}/api"}},
                "mirror": settings,
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the mirror run as long as the block lasts."""
        task = asyncio.create_task(self.mirror.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def finish(self, job: str = "job:1", link: str | None = None, **answer: Any) -> None:
        """Have a job end with a clip at a link, or with some other answer; and poke."""
        named = f"{self.provider.url}/files/{job}.mp4" if link is None else link
        document = {"status": "completed", "data": [{"url": named}], **answer}
        body = json.dumps(document).encode()
        await self.remember(Memory(job, "job", PROVIDER, state=document["status"], answer=body))

    async def remember(self, job: Memory) -> None:
        """Have the memory of a job say this, and poke."""
        await self.books.ledger.remember([job])
        self.mirror.poke()

    async def clip(self, job: str = "job:1") -> dict[str, Any]:
        """What the list of jobs says of a clip."""
        every = (await self.books.ledger.read(views.jobs))["jobs"]
        found: dict[str, Any] = next((j.get("clip", {}) for j in every if j["id"] == job), {})
        return found

    async def becomes(self, state: str, job: str = "job:1", note: str = "") -> dict[str, Any]:
        """Wait until a clip is in a state, with a note that has these words."""

        def good(clip: dict[str, Any]) -> bool:
            return clip.get("state") == state and note in clip.get("note", "")

        return await until(lambda: self.clip(job), good)

    def kept(self, job: str = "job:1") -> Path:
        """Where a job's clip is."""
        return self.files.path(PROVIDER, job)

    def names(self) -> list[str]:
        """What is in the directory."""
        if not self.files.directory.exists():
            return []
        return sorted(path.name for path in self.files.directory.iterdir())

    def clips(self) -> list[str]:
        """The clips in the directory."""
        return [name for name in self.names() if name.endswith(SUFFIX)]

    def parts(self) -> list[str]:
        """What is being written."""
        return [name for name in self.names() if name.startswith(PART)]

    async def no_parts(self) -> None:
        """Wait until nothing is being written: what is thrown away goes a moment later."""
        await self.files.in_turn(lambda: None)
        assert self.parts() == []


@asynccontextmanager
async def studio(
    folder: Path,
    script: Script,
    settings: dict[str, Any] | None,
    *,
    pace: Pace = QUICK,
    free_bytes_min: int = FREE_BYTES_MIN,
    clock: Clock | None = None,
) -> AsyncIterator[Studio]:
    """Open a studio."""
    async with Provider(script) as provider, opened(folder, clock) as books:
        files = ClipFiles(folder / "clips", free_bytes_min)
        found = Studio(books, provider, files, settings, pace)
        try:
            yield found
        finally:
            found.mirror.close()
            await found.upstream.close()
