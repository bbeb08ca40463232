"""`farebox jobs`: the list from the ledger, and watching with the real daemon on the sandbox."""

import asyncio
import hashlib
import io
import itertools
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import jobs, progress
from proxy.cli.common import Failure
from proxy.cli.talk import Answer, Daemon
from proxy.sandbox import SandboxOptions
from proxy.store import Memory
from proxy.store.memory import remember
from tests.cli.house import Daemon as Running
from tests.cli.house import Entry, House, Said, clean_environment, command
from tests.exchange.provider import Got, Provider, response
from tests.rig.process import ROOT, STOP_S

VIDEOS = "/v1/videos/generations"
CLIP = {"model": "azure/sora-2", "prompt": "a fare box"}
NEVER = SandboxOptions(job_s=3600)
AT_ONCE = SandboxOptions(job_s=0)
OLD = Memory("azure:vidjob_old", "job", "blockrun", "azure/sora-2", payment="pay_1", state="queued")
DONE = Memory(
    "cgt-1\x1b[2J", "job", "pomex", "byteplus/seedance", state="completed", answer=b'{"a": 1}'
)
NEW = Memory("pd_1", "job", "sunra", "bytedance/seedance-2.0-relay")


@pytest.fixture
def books(house: House) -> House:
    """A ledger with three jobs: an old one, one that is done, and one never asked after."""
    house.enter(Entry("pay_1", "0.50", None))
    with house.opened() as db:
        for at, job in enumerate((OLD, DONE, NEW)):
            remember(db, [job], 1_000_000_000 + at)
    return house


async def submit(house: House, daemon: Running, query: str = "", **more: str) -> str:
    """Submit a video and do not wait for it; its id."""
    url = f"http://127.0.0.1:{house.port}{VIDEOS}{query}"
    headers = {"Prefer": "respond-async"}
    async with daemon.client.post(url, json=CLIP | more, headers=headers) as answer:
        assert answer.status == 202
        return str((await answer.json())["id"])


async def watch(house: House, *words: str, **environment: str) -> Said:
    """Watch to the end, beside the daemon."""
    return await asyncio.to_thread(house.run, "jobs", "watch", *words, **environment)


def test_no_jobs_yet(house: House) -> None:
    """Without a ledger there is nothing to list, which is fine, nor to watch, which is not."""
    assert house.call("jobs", "--text").out == "No jobs yet.\n"
    assert house.call("jobs").json() == {"jobs": []}
    said = house.call("jobs", "watch")

    assert (said.code, said.out) == (1, "")
    assert "no job is unfinished" in said.err


def test_list_for_people(books: House) -> None:
    """Newest first, aligned; what a provider called a job cannot move the cursor."""
    lines = books.run("jobs", "list", "--text").out.splitlines()

    assert lines[0].split() == ["ID", "WHEN", "PROVIDER", "MODEL", "STATE", "PAYMENT"]
    assert [line.split()[0] for line in lines[1:]] == ["pd_1", "cgt-1?[2J", "azure:vidjob_old"]
    assert "not asked yet" in lines[1]
    assert lines[3].endswith("pay_1")


def test_list_for_programs(books: House) -> None:
    """The shape of the daemon's own page; `--limit` ends it."""
    found = books.run("jobs", "--limit", "2").json()["jobs"]

    assert [job["id"] for job in found] == [NEW.id, DONE.id]
    assert (found[1]["state"], found[1]["result"]) == ("completed", {"a": 1})


@pytest.mark.parametrize("words", [("jobs",), ("jobs", "--text"), ("payments", "export")])
def test_output_that_cannot_be_written(books: House, words: tuple[str, ...]) -> None:
    """A full disk behind stdout is one line and exit code 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*words, config=books.config),
            cwd=ROOT,
            env=clean_environment(books.directory),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=STOP_S,
            check=False,
        )

    assert (done.returncode, done.stderr) == (1, b"Error: No space left on device\n")


def test_watching_needs_a_daemon(books: House) -> None:
    """It is the daemon that asks the provider: without one it is exit code 1, and said."""
    said = books.call("jobs", "watch", "pd_1")

    assert (said.code, said.out) == (1, "")
    assert "`farebox serve` starts it" in said.err


async def test_watch_until_it_is_completed(house: House) -> None:
    """The newest unfinished job is watched through a 429 to its clip; then none is left."""
    async with house.daemon(AT_ONCE) as daemon:
        job = await submit(house, daemon, "?poll_fault=rate_limited&fault_times=1")
        said = await watch(house, "--text")
        again = await watch(house, job)
        none = await watch(house)

    lines = said.out.splitlines()
    assert said.code == 0
    assert [line.split("  ")[:2] for line in lines[:1]] == [[job, "not asked yet"]]
    assert "it is asked again" in lines[1]
    assert lines[2] == f"{job} completed"
    assert lines[3].endswith(".mp4")
    assert lines[4].startswith("  farebox payments show pay_")
    assert (again.code, none.code) == (0, 1)
    assert again.json()["result"]["data"][0]["url"] == lines[3].strip()


async def test_watch_for_programs(house: House) -> None:
    """One JSON object at the end, as in the list, and nothing before it."""
    async with house.daemon(AT_ONCE) as daemon:
        job = await submit(house, daemon)
        said = await watch(house, job, "--json")

    found = said.json()
    (listed,) = house.call("jobs").json()["jobs"]
    assert (said.code, said.err) == (0, "")
    assert (found["id"], found["state"], found["provider"]) == (job, "completed", "blockrun")
    assert found == listed


async def test_watch_a_job_that_fails(house: House) -> None:
    """A generation that failed is exit code 1, with the reason."""
    async with house.daemon(AT_ONCE) as daemon:
        job = await submit(house, daemon, prompt="[fail]")
        said = await watch(house, "--text")

    assert said.code == 1
    assert f"{job} failed: Generation failed upstream\n" in said.out


@pytest.mark.parametrize("id_", ["vidjob_$(x)", "azure:nope"])
async def test_job_that_nobody_knows(house: House, id_: str) -> None:
    """What the daemon or the provider refuses ends the watching; nothing is promised of the job."""
    async with house.daemon():
        said = await watch(house, id_)

    assert (said.code, said.out) == (1, "")
    assert "claimable" not in said.err
    assert said.err.startswith(
        "Error: the provider answers 404: " if ":" in id_ else "Error: job_unknown: "
    )


async def test_job_whose_provider_is_named(house: House) -> None:
    """An id that only its provider knows is asked for there; without the option that is said."""
    async with house.daemon():
        without = await watch(house, "vidjob_x")
        with_it = await watch(house, "vidjob_x", "--provider", "blockrun")

    assert without.err.endswith("(here: --provider)\n")
    assert with_it.err.startswith("Error: the provider answers 404: ")


async def test_job_whose_id_is_no_text(house: House) -> None:
    """Bytes that are not UTF-8 name no job, and nothing falls over them."""
    async with house.daemon():
        said = await watch(house, "\udcff")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Error: bad_path: ")


def test_command_that_is_printed_can_be_pasted() -> None:
    """A job's id is quoted for the shell."""
    assert jobs._claimable({"id": "a:$(x)"}).endswith(" farebox jobs watch 'a:$(x)'")


async def test_clients_are_configured(house: House) -> None:
    """A token is needed then, from the option or the environment."""
    token = "fbx_0123456789abcdef"
    digest = hashlib.sha256(token.encode()).hexdigest()
    with house.config.open("a") as config:
        config.write(f"clients: [{{name: me, token_sha256: '{digest}'}}]\n")
    async with house.daemon(AT_ONCE) as daemon:
        daemon.client.headers["Farebox-Token"] = token
        job = await submit(house, daemon)
        without = await watch(house, job)
        with_it = await watch(house, job, FAREBOX_TOKEN=token)

    assert (without.code, with_it.code) == (1, 0)
    assert "--token" in without.err
    assert with_it.json()["state"] == "completed"


async def test_stopped_by_ctrl_c(house: House) -> None:
    """Plain lines where there is no terminal; Ctrl-C is exit code 130, and the job stays."""
    async with house.daemon(NEVER) as daemon:
        job = await submit(house, daemon)
        with watching(house, subprocess.PIPE, "--text") as process:
            assert process.stdout is not None
            told = await asyncio.to_thread(read_until, process.stdout.fileno(), b"  queued  ")
            process.send_signal(signal.SIGINT)
            rest, err = await asyncio.to_thread(process.communicate, timeout=STOP_S)
        (listed,) = house.call("jobs").json()["jobs"]

    assert process.returncode == 130
    assert b"\r" not in told + rest
    assert err.decode() == (
        f"Stopped watching. The job stays claimable: farebox jobs watch {job}\n"
    )
    assert listed["state"] == "queued"


@pytest.mark.parametrize("form", ["--text", "--json"])
async def test_on_a_terminal(house: House, form: str) -> None:
    """One line is drawn in place, again and again; for programs on stderr, if that is one."""
    async with house.daemon(NEVER) as daemon:
        await submit(house, daemon)
        with terminal() as (ours, theirs):
            out, err = (theirs, subprocess.PIPE) if form == "--text" else (subprocess.PIPE, theirs)
            with watching(house, out, form, stderr=err) as process:
                told = await asyncio.to_thread(read_until, ours, b"queued", 3)
                process.send_signal(signal.SIGINT)
                await asyncio.to_thread(process.communicate, timeout=STOP_S)

    frames = [frame for frame in told.split(b"\r") if b"queued" in frame]
    assert process.returncode == 130
    assert b"\n" not in told
    assert frames[0][:1] != frames[1][:1]


RUNNING = response("202 Accepted", ("Retry-After", "1"), body=b'{"status": "in_progress"}')
ENDED = response("200 OK", body=b'{"status": "completed"}')


def refusal(status: str, code: str) -> bytes:
    """An answer of the daemon's own, to come back after at once."""
    return response(
        status,
        ("Farebox-Error", code),
        ("Retry-After", "0"),
        body=b'{"error": {"message": "so it is", "code": "%b"}}' % code.encode(),
    )


async def look(*answers: bytes) -> tuple[Answer, str]:
    """Watch a job at a daemon that gives some answers in turn: the last one, and what was told."""
    left = iter(answers)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        assert got.line == "GET /v1/videos/generations/a%3A1%2F2 HTTP/1.1"
        writer.write(next(left))

    told = io.StringIO()
    async with Provider(script) as town:
        daemon = Daemon(town.url, STOP_S)
        line = progress.Line("a:1/2", time.time() - 3700, told, itertools.repeat(""))
        answer = await asyncio.to_thread(jobs._watched, daemon, {"id": "a:1/2"}, line)
    return answer, told.getvalue()


async def test_trouble_that_passes() -> None:
    """A provider that cannot be reached, and one that is busy, are asked again; it is told once."""
    busy = response("504 Gateway Timeout", ("Retry-After", "1"))
    unreachable = refusal("502 Bad Gateway", "upstream_unreachable")
    answer, told = await look(unreachable, RUNNING, RUNNING, busy, ENDED)

    assert answer.fields == {"status": "completed"}
    assert [line.split("  ")[1] for line in told.splitlines()] == [
        "not asked yet",
        "not asked yet (upstream_unreachable; it is asked again)",
        "in_progress",
        "in_progress (HTTP status 504; it is asked again)",
    ]
    assert told.splitlines()[0].endswith("  1:01:40")


@pytest.mark.parametrize(
    ("answer", "message", "code"),
    [
        (refusal("429 Too Many Requests", "cap_day"), "cap_day: so it is", 3),
        (refusal("503 Service Unavailable", "paused"), "paused: so it is", 1),
        (response("404 Not Found", body=b'{"error": "gone"}'), "the provider answers 404: gone", 1),
        (response("500 Oops", body=b"[]"), "the provider answers 500: HTTP status 500", 1),
    ],
)
async def test_what_ends_the_watching(answer: bytes, message: str, code: int) -> None:
    """A refusal and a provider's error are said, and a cap has the exit code of caps."""
    with pytest.raises(Failure) as failure:
        await look(answer)

    assert (failure.value.message, failure.value.exit_code) == (message, code)


async def test_trouble_that_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """After many looks in vain it is time that a person hears of it."""
    monkeypatch.setattr(jobs, "TROUBLES_MAX", 1)
    busy = refusal("504 Gateway Timeout", "upstream_timeout")

    with pytest.raises(Failure, match="upstream_timeout"):
        await look(busy, busy)


async def test_daemon_that_goes_away() -> None:
    """A daemon that stops in between is said to have given no answer."""
    with pytest.raises(Failure, match="gave no answer"):
        await look(b"")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({}, ["a ended, and does not say how"]),
        ({"status": "failed", "error": {"message": "no\x07"}}, ["a failed: no?"]),
        ({"status": "completed", "data": ["x", {"url": "u"}, {}]}, ["a completed", "  u"]),
    ],
)
def test_ends_as_they_come(result: dict[str, Any], expected: list[str]) -> None:
    """Whatever a provider's last answer looks like, it can be told."""
    outcome = jobs._outcome({"id": "a"}, Answer(200, HTTPMessage(), result))

    assert outcome.splitlines() == expected


@contextmanager
def watching(
    house: House, out: int, *words: str, stderr: int = subprocess.PIPE
) -> Iterator["subprocess.Popen[bytes]"]:
    """Watch in a process of its own, which is gone in the end.

    It can be interrupted even where these tests, run in a shell's background, cannot.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command("jobs", "watch", *words, config=house.config),
        cwd=ROOT,
        env=clean_environment(house.directory),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=stderr,
    )
    signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Our end of a terminal, and the program's."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def read_until(descriptor: int, part: bytes, times: int = 1) -> bytes:
    """Read until something was said so often."""
    told = b""
    while told.count(part) < times:
        more = os.read(descriptor, 4096)
        assert more, told
        told += more
    return told
