"""The mirror: what it takes for a clip, what it does not, and what is on the disk meanwhile."""

import asyncio
import gzip
import json
import os
import stat
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.clipfetch import REDIRECTS_MAX
from proxy.clipfiles import PART, SUFFIX
from proxy.core.config import Config
from proxy.mirror import DAY_S, FETCHES_A_PROVIDER, FETCHES_MAX, Pace
from proxy.store import Memory
from proxy.store.alerts import alerts
from proxy.store.clips import DELAYED_S, RETRIED_S, WANTED_S, due
from tests.exchange.conftest import until
from tests.exchange.provider import Got, Script, response
from tests.mirror.studio import (
    CLIP,
    MP4,
    PROVIDER,
    Slow,
    film,
    gives,
    studio,
    then_closes,
)
from tests.store.books import Clock, rows

SMALL = {"clip_bytes_max": 20_000, "total_bytes_max": 50_000}
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"


async def endless(_got: Got, writer: asyncio.StreamWriter) -> None:
    """Send a clip without end."""
    writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
    while not writer.is_closing():
        writer.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        await writer.drain()


def leads_to(location: str) -> Script:
    """Redirect everything."""
    return gives(response("302 Found", ("Location", location)))


NO_CLIPS: dict[str, tuple[Script, str, str]] = {
    "an endless clip": (endless, "failed", "larger than mirror.clip_bytes_max, 20000"),
    "a clip that says it is too long": (
        then_closes(f"{HEAD}Content-Length: 20001\r\n\r\n".encode()),
        "failed",
        "larger than",
    ),
    "a clip that is cut short": (
        then_closes(film()[:-1]),
        "fetching",
        "broke off",
    ),
    "a clip whose chunks are cut short": (
        then_closes(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode()),
        "fetching",
        "broke off",
    ),
    "a clip of no known end": (
        then_closes(f"{HEAD}Connection: close\r\n\r\nhalf of a clip".encode()),
        "fetching",
        "where the clip ends",
    ),
    "no byte at all": (gives(film(b"")), "fetching", "gives 0 bytes"),
    "an empty stream": (
        gives(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()),
        "fetching",
        "gives 0 bytes",
    ),
    "a page": (
        gives(film(b"<h1>sorry</h1>", ("Content-Type", "Text/HTML; charset=utf-8"))),
        "fetching",
        "'text/html', which is no clip",
    ),
    "an error in JSON": (
        gives(film(b"{}", ("Content-Type", "application/problem+json"))),
        "fetching",
        "no clip",
    ),
    "an error in XML": (
        gives(film(b"<Error/>", ("Content-Type", "application/xml"))),
        "fetching",
        "no clip",
    ),
    "a packed clip": (
        gives(film(gzip.compress(CLIP), MP4, ("Content-Encoding", "gzip"))),
        "fetching",
        "encoding",
    ),
    "a part of a clip": (gives(response("206 Partial Content", MP4, body=CLIP)), "failed", "206"),
    "no content": (gives(response("204 No Content", MP4)), "failed", "204"),
    "a 401": (gives(response("401 Unauthorized")), "failed", "answers 401"),
    "a 402": (gives(response("402 Payment Required")), "failed", "answers 402"),
    "a 403": (gives(response("403 Forbidden")), "fetching", "answers 403"),
    "a 404": (gives(response("404 Not Found")), "fetching", "answers 404"),
    "a 429": (gives(response("429 Too Many Requests")), "fetching", "answers 429"),
    "a 503": (gives(response("503 Service Unavailable")), "fetching", "answers 503"),
    "no HTTP": (then_closes(b"hello\r\n\r\n"), "fetching", "broke off"),
    "a redirect to nowhere": (gives(response("302 Found")), "fetching", "to nowhere"),
    "a redirect in a circle": (leads_to("/api"), "fetching", "more than 5 times"),
    "a redirect to a foreign host": (
        leads_to("https://Evil.example/x?sig=c4n4ry"),
        "failed",
        "evil.example is not allowed: add it to mirror.hosts",
    ),
    "a redirect to the metadata of a cloud": (
        leads_to("http://169.254.169.254/latest"),
        "failed",
        "169.254.169.254 is not allowed",
    ),
    "a redirect to another port here": (leads_to("http://127.0.0.1:1/"), "failed", "not allowed"),
    "a redirect to plain http": (leads_to("http://clips.example/"), "failed", "only https"),
    "a redirect to a file": (leads_to("file:///etc/passwd"), "failed", "no http(s) URL"),
    "a redirect to a user": (leads_to("https://a:b@clips.example/"), "failed", "names a user"),
    "a redirect that no one can read": (leads_to("https://[clips.example/"), "failed", "no URL"),
}


@pytest.mark.parametrize(("script", "state", "note"), NO_CLIPS.values(), ids=NO_CLIPS)
async def test_what_is_no_clip(tmp_path: Path, script: Script, state: str, note: str) -> None:
    """Nothing of it is kept; it is tried again if it may pass, and the note quotes no link."""
    settings = SMALL | {"hosts": ["clips.example"]}
    async with studio(tmp_path, script, settings) as at, at.running():
        await at.finish()
        clip = await at.becomes(state, note=note)
        assert "bytes" not in clip
        assert "c4n4ry" not in clip["note"]
        await at.no_parts()
        assert at.clips() == []


LINKS = {
    "a foreign host": ("https://cdn.example/x", "cdn.example is not allowed"),
    "a name that only looks allowed": ("https://evilclips.example/x", "not allowed"),
    "another port": ("https://clips.example:8443/x", "at port 8443"),
    "no URL": ("clip.mp4\x00http://", "answers 404"),
    "a script": ("javascript:alert(1)", "no http(s) URL"),
    "nothing at all": ("", "names no video"),
}


@pytest.mark.parametrize(("link", "note"), LINKS.values(), ids=LINKS)
async def test_links_that_are_not_fetched(tmp_path: Path, link: str, note: str) -> None:
    """They are judged before anything is sent; one without a host is the provider's own."""
    script = gives(response("404 Not Found"))
    async with studio(tmp_path, script, {"hosts": ["clips.example"]}) as at, at.running():
        await at.finish(link=link)
        state = "fetching" if "404" in note else "failed"
        await at.becomes(state, note=note)
        assert len(at.provider.got) == (state == "fetching")


async def test_lies_about_answers(tmp_path: Path) -> None:
    """A job's answer may be anything: it names no video, and nothing breaks."""
    lies = (b"\xff", b"[" * 100_000, b"[]", b'{"status": "completed"}', b'{"data": [{"url": 1}]}')
    async with studio(tmp_path, gives(film()), {}) as at, at.running():
        for number, lie in enumerate(lies):
            job = Memory(f"job:{number}", "job", PROVIDER, state="completed", answer=lie)
            await at.remember(job)
            await at.becomes("failed", job.id, "names no video")
        await at.finish("job:good")
        await at.becomes("kept", "job:good")


async def test_finished_clip(tmp_path: Path) -> None:
    """It is on the disk byte for byte, for its owner alone, and nothing of anybody was sent."""
    async with studio(tmp_path, gives(film()), {}) as at, at.running():
        await at.finish()
        assert await at.becomes("kept") == {"state": "kept", "bytes": len(CLIP)}
        assert at.kept().read_bytes() == CLIP
        assert at.names() == [at.kept().name]
        assert stat.S_IMODE(at.kept().stat().st_mode) == 0o600
        assert stat.S_IMODE(at.files.directory.stat().st_mode) == 0o700
        (got,) = at.provider.got
        assert got.line == "GET /files/job:1.mp4 HTTP/1.1"
        names = sorted(name.lower() for name, _ in got.headers)
        assert names == ["accept", "accept-encoding", "host", "user-agent"]
        assert got.header("Accept-Encoding") == "identity"


async def test_hostile_ids(tmp_path: Path) -> None:
    """A job's id never is a name on the disk."""
    async with studio(tmp_path, gives(film()), {}) as at, at.running():
        for id_ in ("../../x", "/etc/passwd", ".", "a\x00b", "x" * 5000):
            await at.finish(id_, f"{at.provider.url}/x")
            await at.becomes("kept", id_)
            assert at.kept(id_).parent == at.files.directory
            assert len(at.kept(id_).name) == 64 + len(SUFFIX)
        assert len(at.clips()) == len(at.names()) == 5


async def test_two_providers_with_one_id(tmp_path: Path) -> None:
    """Each has a clip of its own."""
    async with studio(tmp_path, gives(film(b"first"), film(b"second")), {}) as at, at.running():
        await at.finish()
        await at.becomes("kept")
        answer = {"status": "completed", "data": [{"url": "https://clips.example/x"}]}
        body = json.dumps(answer).encode()
        await at.remember(Memory("job:1", "job", "other", state="completed", answer=body))
        await until(lambda: _states(tmp_path), lambda found: found == {"kept", "failed"})
        assert at.kept().read_bytes() == b"first"


async def test_redirects_to_where_it_may_go(tmp_path: Path) -> None:
    """Five of them are followed, relative ones too, without a body of theirs being read."""
    hops = [
        response("302 Found", ("Location", f"/hop?n={number}"), body=b"x" * 100)
        for number in range(REDIRECTS_MAX)
    ]
    async with studio(tmp_path, gives(*hops, film()), {}) as at, at.running():
        await at.finish()
        await at.becomes("kept")
        assert [got.line.split(" ")[1] for got in at.provider.got] == [
            "/files/job:1.mp4",
            *(f"/hop?n={number}" for number in range(REDIRECTS_MAX)),
        ]


async def test_clip_without_a_length(tmp_path: Path) -> None:
    """Chunks have an end of their own; a type that says nothing is no hindrance."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: binary/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = f"{head}5\r\nhello\r\n0\r\n\r\n".encode()
    async with studio(tmp_path, gives(answer), {}) as at, at.running():
        await at.finish()
        await at.becomes("kept")
        assert at.kept().read_bytes() == b"hello"
        assert rows(tmp_path, "SELECT media_type FROM clip") == [("",)]


async def test_trouble_that_passes(tmp_path: Path) -> None:
    """It is tried again, later and later, and kept in the end."""
    busy = response("503 Service Unavailable")
    async with studio(tmp_path, gives(busy, busy, busy, film()), {}) as at, at.running():
        await at.finish()
        pauses = []
        for attempts in range(1, 4):
            await at.provider.until(attempts)
            await at.becomes("fetching", note="503")
            await until(lambda: _next_at(tmp_path), lambda at_: at_ > at.books.clock.now)
            ((next_at,),) = rows(tmp_path, "SELECT next_at FROM clip")
            pauses.append(next_at - at.books.clock.now)
            at.books.clock.now = next_at
        assert pauses == [30, 60, 120]
        await at.becomes("kept")
        assert rows(tmp_path, "SELECT note FROM clip") == [("",)]


@pytest.mark.parametrize(("status", "patience_s"), [(404, 3600), (503, RETRIED_S)])
async def test_trouble_that_lasts(tmp_path: Path, status: int, patience_s: int) -> None:
    """It is said once, when it has lasted too long, and nothing is tried any more."""
    async with studio(tmp_path, gives(response(f"{status} No")), {}) as at:
        with capture_logs() as logs:
            async with at.running():
                await at.finish()
                await at.becomes("fetching", note=str(status))
                began = at.books.clock.now
                while (await at.clip())["state"] == "fetching":
                    asked = len(at.provider.got)
                    at.books.clock.now += 3600
                    at.mirror.poke()
                    await at.provider.until(asked + 1)
                    await until(lambda: _next_at(tmp_path), lambda at_: at_ != began)
                    await until(at.clip, lambda _: not at.mirror._active)
                await at.becomes("failed")
                assert at.books.clock.now - began <= patience_s + 3600
                asked = len(at.provider.got)
                at.books.clock.now += DAY_S
                await _looked(at)
                assert len(at.provider.got) == asked
    (told,) = [line for line in logs if line["log_level"] == "warning"]
    assert (told["event"], told["job"]) == ("clip_not_kept", "job:1")


async def test_nobody_there(tmp_path: Path) -> None:
    """No connection is trouble that passes: the clip is kept when somebody is there again."""
    async with studio(tmp_path, gives(film()), {}) as at:
        await at.provider.shut()
        await at.finish(link="/x")
        async with at.running():
            await at.becomes("fetching", note="no connection to 127.0.0.1")
            await at.provider.reopen()
            at.books.clock.now += 30
            await at.becomes("kept")


@pytest.mark.parametrize("pace", [Pace(silence_s=0.05), Pace(fetch_s=0.05)])
async def test_provider_that_stops_in_the_middle(tmp_path: Path, pace: Pace) -> None:
    """There is an end to waiting for it, and nothing is left of it."""
    async with studio(tmp_path, Slow(), {}, pace=pace) as at, at.running():
        await at.finish()
        await at.becomes("fetching", note="silent" if pace.silence_s < 1 else "longer than")
        await at.no_parts()


async def test_host_that_becomes_allowed(tmp_path: Path) -> None:
    """Said once for all its clips; they are wanted again when the config names it."""
    away = "https://localhost/clip.mp4?sig=c4n4ry"  # port 443, where nobody is in a test
    async with studio(tmp_path, leads_to(away), {}) as at:
        with capture_logs() as logs:
            async with at.running():
                for number in range(3):
                    await at.finish(f"job:{number}")
                    await at.becomes("failed", f"job:{number}", "localhost is not allowed")
                at.reconfigure({"hosts": ["other.example"]})
                await _looked(at)
                assert (await at.clip("job:0"))["state"] == "failed"
                at.reconfigure({"hosts": ["localhost"]})
                at.mirror.poke()
                for number in range(3):
                    await at.becomes("fetching", f"job:{number}", "no connection to localhost")
    told = [line for line in logs if line["log_level"] == "warning"]
    assert [line["why"] for line in told] == [
        "localhost is not allowed: add it to mirror.hosts to keep clips from it"
    ]


async def test_full_store(tmp_path: Path) -> None:
    """What is kept stays; the next clip stays wanted, said once, and comes when there is room."""
    clip = bytes(20_000)
    async with studio(tmp_path, gives(film(clip)), SMALL | {"retention_days": 1}) as at:
        with capture_logs() as logs:
            async with at.running():
                await at.finish("job:1")
                await at.becomes("kept", "job:1")
                await at.finish("job:2")
                await at.becomes("kept", "job:2")
                for job in ("job:3", "job:4"):
                    await at.finish(job)
                    await at.becomes("fetching", job, "there is no room")
                assert len(at.clips()) == 2
                await at.no_parts()
                at.books.clock.now += DELAYED_S
                (alert,) = await at.books.ledger.read(lambda db: alerts(db, at.books.ledger.now()))
                assert alert.code == "clip_waiting"
                assert "2 finished clips are not on this disk yet, the oldest" in alert.message
                assert "job:3: there is no room: mirror.total_bytes_max" in alert.message
        told = [line["event"] for line in logs if line["log_level"] == "warning"]
        assert told == ["clips_full"]
        at.books.clock.now += DAY_S
        async with at.running():  # a sweep makes room: it comes with a start, and each hour
            at.mirror._sweep_at = None
            await at.becomes("forgotten", "job:1")
            await at.becomes("kept", "job:3")


async def test_room_that_a_config_makes(tmp_path: Path) -> None:
    """What waits for its next attempt is tried as soon as there is a new config."""
    clip = bytes(20_000)
    async with studio(tmp_path, gives(film(clip)), SMALL) as at, at.running():
        for job in ("job:1", "job:2", "job:3"):
            await at.finish(job)
            await at.becomes("fetching" if job == "job:3" else "kept", job)
        await at.becomes("fetching", "job:3", "there is no room")
        at.reconfigure(SMALL | {"total_bytes_max": 60_000})
        at.mirror.poke()
        await at.becomes("kept", "job:3")


async def test_store_that_fills_up_on_the_way(tmp_path: Path) -> None:
    """A clip that did not say how long it is ends where there is no more room."""
    settings = {"clip_bytes_max": 30_000, "total_bytes_max": 30_000}

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if "job:1" in got.line:
            writer.write(film(bytes(20_000)))
        else:
            chunk = b"4e20\r\n" + bytes(20_000) + b"\r\n"
            writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk)
            writer.write(b"0\r\n\r\n")

    async with studio(tmp_path, script, settings) as at, at.running():
        await at.finish("job:1")
        await at.becomes("kept", "job:1")
        await at.finish("job:2")
        await at.becomes("fetching", "job:2", "mirror.total_bytes_max, 30000, is reached")
        await at.no_parts()
        assert at.clips() == [at.kept("job:1").name]


async def test_two_that_fit_one_at_a_time(tmp_path: Path) -> None:
    """What is being written counts: the second is not let in beside the first."""
    settings = {"clip_bytes_max": 15_000, "total_bytes_max": 15_000}
    slow = Slow()
    async with studio(tmp_path, slow, settings) as at, at.running():
        await at.finish("job:1")
        await slow.halfway.wait()
        slow.halfway.clear()
        await at.finish("job:2")
        await at.becomes("fetching", "job:2", "there is no room")
        slow.go_on.set()
        await at.becomes("kept", "job:1")


async def test_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """Nothing is written: the ledger is on the same disk."""
    async with studio(tmp_path, gives(film()), {}, free_bytes_min=2**60) as at, at.running():
        await at.finish()
        await at.becomes("fetching", note="there is no room: the disk is full")
        assert at.names() == []


async def test_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A directory that cannot be made stops the mirror and nothing else."""
    (tmp_path / "clips").write_text("in the way")
    async with studio(tmp_path, gives(film()), {}) as at:
        with capture_logs() as logs:
            async with at.running():
                await at.finish()
                await until(_nothing, lambda _: any(x["event"] == "mirror_stuck" for x in logs))
                (tmp_path / "clips").unlink()
                await at.becomes("kept")


async def test_directory_that_is_taken_away(tmp_path: Path) -> None:
    """An error of the disk's is trouble that passes."""
    async with studio(tmp_path, gives(film()), {}) as at, at.running():
        await at.finish("job:1")
        await at.becomes("kept", "job:1")
        at.kept("job:1").unlink()
        at.files.directory.rmdir()
        await at.finish("job:2")
        await at.becomes("fetching", "job:2", "the disk: No such file or directory")
        await at.files.tidy()
        at.books.clock.now += 30
        await at.becomes("kept", "job:2")


async def test_fault_of_ours(tmp_path: Path) -> None:
    """It is logged, says nothing of the link, and is tried again."""

    class Broken:
        """A client with a bug."""

        async def send(self, call: object) -> Any:
            """Fail in a way that nobody thought of."""
            raise RuntimeError(f"c4n4ry {call}")

    async with studio(tmp_path, gives(film()), {}) as at:
        sound = at.mirror._fetcher
        at.mirror._fetcher = replace(sound, upstream=Broken())
        with capture_logs() as logs:
            async with at.running():
                await at.finish()
                await at.becomes("fetching", note="a fault of ours")
                at.mirror._fetcher = sound
                at.books.clock.now += 30
                await at.becomes("kept")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["clip_fault"]


async def test_stopped_in_the_middle(tmp_path: Path) -> None:
    """Nothing is left of a fetch that was cancelled, and the next run begins anew, at once."""
    slow, clock = Slow(), Clock()
    async with studio(tmp_path, slow, {}, clock=clock) as at:
        async with at.running():
            await at.finish()
            await slow.halfway.wait()
            await until(_nothing, lambda _: bool(at.parts()))
        await at.no_parts()
        assert at.clips() == []
    async with studio(tmp_path, gives(film()), {}, clock=clock) as at:
        await at.finish()
        async with at.running():
            await at.becomes("kept")
        assert at.kept().read_bytes() == CLIP


async def test_leftovers_of_a_crash(tmp_path: Path) -> None:
    """Parts are swept away at the start; a clip that no row knows stays until it is old."""
    folder = tmp_path / "clips"
    folder.mkdir(mode=0o700)
    old, young = folder / f"{'0' * 64}{SUFFIX}", folder / f"{'1' * 64}{SUFFIX}"
    for path in (old, young, folder / ".part-00", folder / "somebody's own"):
        path.write_bytes(bytes(1000))
    clock = Clock()
    os.utime(young, (clock.now, clock.now))
    long_ago = clock.now - 33 * DAY_S
    os.utime(old, (long_ago, long_ago))
    async with studio(tmp_path, gives(film(bytes(2000))), {}, clock=clock) as at:
        await at.finish()
        async with at.running():
            await at.becomes("kept")
        assert at.names() == sorted([young.name, "somebody's own", at.kept().name])
        os.utime(at.kept(), (long_ago, long_ago))
        at.mirror._sweep_at = None
        async with at.running():
            await _looked(at)
        assert at.kept().name in at.names()


async def test_retention(tmp_path: Path) -> None:
    """After its days a clip is forgotten, file and all, and never fetched again."""
    async with studio(tmp_path, gives(film()), {"retention_days": 1}) as at:
        async with at.running():
            await at.finish()
            await at.becomes("kept")
            at.books.clock.now += DAY_S - 1
            at.mirror._sweep_at = 0
            await _looked(at)
            assert at.clips() == [at.kept().name]
            at.books.clock.now += 1
            at.mirror._sweep_at = 0
            await at.becomes("forgotten", note="retention")
            await _looked(at)
            await until(_nothing, lambda _: at.clips() == [])
        assert len(at.provider.got) == 1


async def test_old_jobs(tmp_path: Path) -> None:
    """What was finished before is fetched when mirroring begins, if it is young enough."""
    async with studio(tmp_path, gives(film()), None) as at:
        await at.finish("job:old")
        at.books.clock.now += WANTED_S
        await at.finish("job:young")
        async with at.running():
            await _looked(at)
            assert at.names() == []
            at.reconfigure({})
            at.mirror.poke()
            await at.becomes("kept", "job:young")
        assert await at.clip("job:old") == {}


async def test_jobs_that_are_forgotten(tmp_path: Path) -> None:
    """What waits for a job that nobody remembers waits no more; what is kept stays kept."""
    script = gives(film(), response("404 Not Found"))
    async with studio(tmp_path, script, {}) as at:
        async with at.running():
            await at.finish("job:1")
            await at.becomes("kept", "job:1")
            await at.finish("job:2")
            await at.becomes("fetching", "job:2", "404")
            await at.finish("job:3")
            await at.becomes("fetching", "job:3", "404")
            gone = "DELETE FROM memory WHERE id <> 'job:3'"
            await at.books.ledger.ask(lambda db: db.execute(gone).rowcount)
            at.books.clock.now += WANTED_S + RETRIED_S
            at.mirror._sweep_at = 0
            await at.becomes("failed", "job:3", "404")
        assert rows(tmp_path, "SELECT job, state FROM clip ORDER BY job") == [
            ("job:1", "kept"),
            ("job:3", "failed"),
        ]


async def test_failed_jobs(tmp_path: Path) -> None:
    """They have no clip to fetch, nor have those that are not done."""
    async with studio(tmp_path, gives(film()), {}) as at, at.running():
        await at.finish("job:1", status="failed")
        await at.remember(Memory("job:2", "job", PROVIDER, state="in_progress", answer=b"{}"))
        await at.remember(Memory("job:3", "job", PROVIDER, state="completed"))
        await _looked(at)
        assert [await at.clip(f"job:{number}") for number in (1, 2, 3)] == [{}, {}, {}]


async def test_mirroring_that_is_switched_off(tmp_path: Path) -> None:
    """What was under way is done; nothing more is fetched, and what is kept is left alone."""
    slow = Slow()
    async with studio(tmp_path, slow, {}) as at, at.running():
        await at.finish("job:1")
        await slow.halfway.wait()
        at.reconfigure(None)
        slow.go_on.set()
        await at.becomes("kept", "job:1")
        await at.finish("job:2")
        await _looked(at)
        assert await at.clip("job:2") == {}
        assert await at.mirror.settled(PROVIDER, "job:1") is None
        assert at.clips() == [at.kept("job:1").name]


async def test_switched_off_between_two_steps(tmp_path: Path) -> None:
    """A fetch that begins under a config without a mirror sends nothing."""
    async with studio(tmp_path, gives(film()), None) as at:
        await at.finish()
        (wanted,) = await at.books.ledger.read(lambda db: _due(db, at.books.clock.now))
        await at.mirror._attempt(wanted)
        assert (await at.clip())["note"].startswith("clips are kept no more")
        assert at.provider.got == []


async def test_attempt_that_comes_too_late(tmp_path: Path) -> None:
    """What was kept, or put off, since it was found to be due is left alone."""
    async with studio(tmp_path, gives(film(), response("404 Not Found")), {}) as at:
        for job in ("job:1", "job:2"):
            await at.finish(job)
        found = await at.books.ledger.read(lambda db: _due(db, at.books.clock.now))
        async with at.running():
            await at.becomes("kept", "job:1")
            await at.becomes("fetching", "job:2", "404")
        for wanted in found:
            await at.mirror._attempt(wanted)
        assert len(at.provider.got) == len(found) == 2


async def test_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    """Nothing is fetched, nothing breaks; that is said, and the run goes on."""
    pace = Pace(look_s=0.01, fault_s=0.01)
    async with studio(tmp_path, gives(film()), {}, pace=pace) as at:
        await at.finish()
        (wanted,) = await at.books.ledger.read(lambda db: _due(db, at.books.clock.now))
        await at.books.ledger.close()
        with capture_logs() as logs:
            async with at.running():
                await until(_nothing, lambda _: len(logs) > 3)
            await at.mirror._attempt(wanted)
        assert {line["event"] for line in logs} == {"mirror_stuck", "clip_not_noted"}
        assert at.provider.got == []


async def test_ledger_that_takes_no_clips(tmp_path: Path) -> None:
    """A fault that nobody thought of is logged, and the run goes on: it is the daemon's too."""
    pace = Pace(look_s=0.01, fault_s=0.01)
    trap = "CREATE TRIGGER trap BEFORE UPDATE ON clip BEGIN SELECT raise(FAIL, 'trap'); END"
    async with studio(tmp_path, gives(film()), {}, pace=pace) as at:
        await at.books.ledger.ask(lambda db: db.execute(trap).rowcount)
        with capture_logs() as logs:
            async with at.running():
                await at.finish()
                await until(_nothing, lambda _: len(logs) > 3)
                await at.books.ledger.ask(lambda db: db.execute("DROP TRIGGER trap").rowcount)
                await at.becomes("kept")
        assert {line["event"] for line in logs} == {"mirror_fault", "clip_kept"}


async def test_mirror_whose_disk_was_closed(tmp_path: Path) -> None:
    """Such a fault does not end the run either."""
    async with studio(tmp_path, gives(film()), {}) as at:
        at.mirror.close()
        with capture_logs() as logs:
            async with at.running():
                await until(_nothing, lambda _: len(logs) > 3)
        assert {line["event"] for line in logs} == {"mirror_fault"}


async def test_provider_that_is_gone_from_the_config(tmp_path: Path) -> None:
    """Its clips come from hosts that the config names, or not at all."""
    async with studio(tmp_path, gives(film()), {}) as at, at.running():
        answer = {"status": "completed", "data": [{"url": f"{at.provider.url}/x"}]}
        body = json.dumps(answer).encode()
        await at.remember(Memory("job:9", "job", "gone", state="completed", answer=body))
        await at.becomes("failed", "job:9", "127.0.0.1 is not allowed")
        at.reconfigure({"hosts": ["other.example"]})
        await _looked(at)
        assert (await at.clip("job:9"))["state"] == "failed"


async def test_large_clip(tmp_path: Path) -> None:
    """64 MiB pass through a few MiB of memory."""
    size = 64 << 20
    head = f"{HEAD}Content-Length: {size}\r\n\r\n".encode()
    piece = bytes(256 << 10)

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(size // len(piece)):
            writer.write(piece)
            await writer.drain()

    async with studio(tmp_path, script, {}) as at, at.running():
        tracemalloc.start()
        try:
            await at.finish()
            async with asyncio.timeout(60):
                while (await at.clip()).get("state") != "kept":
                    await at.mirror._news.wait()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert at.kept().stat().st_size == size
        assert peak < 12 << 20


async def test_provider_whose_clips_drip(tmp_path: Path) -> None:
    """It has its own lines and no more: however many it has, another's clip is kept meanwhile."""
    slow = Slow()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        await (slow if "/slow" in got.line else gives(film()))(got, writer)

    async with studio(tmp_path, script, {}) as at:
        maker = {"kind": "pomex", "base_url": at.provider.url}
        providers = {PROVIDER: maker, "dripping": maker}
        caps = {"per_request": "1.00", "day": "none"}
        at.config = Config.model_validate({"caps": caps, "providers": providers, "mirror": {}})
        ids = [f"slow:{number}" for number in range(3 * FETCHES_MAX)]
        for id_ in ids:
            answer = {"status": "completed", "data": [{"url": f"/slow/{id_}"}]}
            body = json.dumps(answer).encode()
            await at.remember(Memory(id_, "job", "dripping", state="completed", answer=body))
        await at.finish()
        async with at.running():
            await at.becomes("kept")
            begun = [got for got in at.provider.got if "/slow" in got.line]
            assert len(begun) == FETCHES_A_PROVIDER
            slow.go_on.set()
            await at.becomes("kept", ids[-1])


async def test_clips_that_never_end(tmp_path: Path) -> None:
    """What was tried least is tried first: they cannot keep the next from being fetched."""
    done = asyncio.Event()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if "last" in got.line:
            writer.write(film())
            return
        writer.write(f"{HEAD}Content-Length: 1000\r\n\r\n".encode())
        await writer.drain()
        await done.wait()

    pace = Pace(look_s=0.01, fetch_s=0.02, retry_s=0)
    async with studio(tmp_path, script, {}, pace=pace) as at:
        for number in range(FETCHES_MAX):
            await at.finish(f"job:{number}")
        await at.finish("last")
        async with at.running():
            await at.becomes("kept", "last")
            await at.becomes("fetching", "job:0", "longer than")
        done.set()


async def test_odd_things_in_the_directory(tmp_path: Path) -> None:
    """A directory that is called like a clip, or a part of one, is nobody's: it stays."""
    folder = tmp_path / "clips"
    folder.mkdir(mode=0o700)
    odd = [f"{PART}x", f"{'0' * 64}{SUFFIX}"]
    for name in odd:
        (folder / name).mkdir()
        os.utime(folder / name, (0, 0))
    with capture_logs() as logs:
        async with studio(tmp_path, gives(film()), {}) as at, at.running():
            await at.finish()
            await at.becomes("kept")
            assert at.names() == sorted([*odd, at.kept().name])
    assert [line["event"] for line in logs] == ["clip_kept"]


async def test_clip_that_became_a_directory(tmp_path: Path) -> None:
    """It is forgotten when its time is over, and the clips after it are swept away as ever."""
    async with studio(tmp_path, gives(film()), {"retention_days": 1}) as at, at.running():
        for job in ("job:1", "job:2"):
            await at.finish(job)
            await at.becomes("kept", job)
        at.kept().unlink()
        at.kept().mkdir()
        at.books.clock.now += DAY_S
        at.mirror._sweep_at = 0
        for job in ("job:1", "job:2"):
            await at.becomes("forgotten", job)
        await until(_nothing, lambda _: at.clips() == [at.kept().name])


async def test_many_clips_at_once(tmp_path: Path) -> None:
    """All are kept, two of a provider's at a time, and each is asked for once."""
    under_way, most = 0, 0

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        answer = film()
        writer.write(answer[:100])
        await writer.drain()
        await asyncio.sleep(0)
        under_way -= 1
        writer.write(answer[100:])

    async with studio(tmp_path, script, {}) as at, at.running():
        for number in range(20):
            await at.finish(f"job:{number}")
        for number in range(20):
            await at.becomes("kept", f"job:{number}")
        assert len(at.provider.got) == 20
        assert most <= FETCHES_A_PROVIDER


async def _nothing() -> None:
    await asyncio.sleep(0)


async def _looked(at: Any) -> None:
    """Wait until the mirror has looked once more, and is done with what it found."""
    for _ in range(2):
        at.mirror.poke()
        await until(_nothing, lambda _: not at.mirror._poked.is_set())
    await until(_nothing, lambda _: not at.mirror._active)
    await at.books.ledger.flush()
    await asyncio.to_thread(lambda: None)


def _due(db: Any, now: float) -> Any:
    return due(db, int(now), 9)


async def _states(folder: Path) -> set[str]:
    await asyncio.sleep(0)
    return {state for (state,) in rows(folder, "SELECT state FROM clip")}


async def _next_at(folder: Path) -> int:
    await asyncio.sleep(0)
    return max((at for (at,) in rows(folder, "SELECT next_at FROM clip")), default=0)
