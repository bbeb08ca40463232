"""`farebox demo`, from its first line to an empty directory."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.house import clean_environment, command
from tests.rig.process import ROOT, deadline, stop

DEMO_S = 60.0
TOO_TIGHT = """
from proxy.cli import main, stage
stage.CAPS["per_request"] = "0.10"
main(["demo", "--text"])
"""


@dataclass(frozen=True)
class Played:
    """One whole demo."""

    code: int
    out: str
    err: str
    seconds: float
    left_behind: tuple[str, ...]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """The demo for programs, for people and with caps that are too tight, side by side."""
    commands = {
        "json": command("demo"),
        "text": command("demo", "--text"),
        "tight": (sys.executable, "-c", TOO_TIGHT),
    }
    started = time.monotonic()
    homes = {name: tmp_path_factory.mktemp(name) for name in commands}
    processes = {name: start(words, homes[name]) for name, words in commands.items()}
    return {name: finish(processes[name], homes[name], started) for name in commands}


@pytest.mark.parametrize("name", ["json", "text"])
def test_it_succeeds_in_time_and_leaves_nothing(demos: dict[str, Played], name: str) -> None:
    """Exit code 0 before one loses patience, no complaint, and its directory is gone."""
    played = demos[name]

    assert (played.code, played.err) == (0, "")
    assert played.seconds < 30  # some ten where nothing else runs
    assert played.left_behind == ()


def test_numbers(demos: dict[str, Played]) -> None:
    """Two payments settled, what the sellers took is what the ledger says, and both are 0.95."""
    found = json.loads(demos["json"].out)

    assert found["ok"]
    assert [step["number"] for step in found["steps"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [(p["usd"], p["state"]) for p in found["receipts"]] == [
        ("0.45", "settled"),
        ("0.50", "settled"),
    ]
    assert (found["sellers_took"], found["ledger_says"]) == ("0.95", "0.95")


def test_answers(demos: dict[str, Played]) -> None:
    """A bare 402, six calls served, two refused by caps; two of them were paid for."""
    calls = [call for step in json.loads(demos["json"].out)["steps"] for call in step["calls"]]

    assert [call["status"] for call in calls] == [402, 200, 200, 200, 200, 200, 200, 200, 403, 429]
    assert [call["answer"]["error"]["code"] for call in calls[-2:]] == [
        "cap_per_request",
        "cap_day",
    ]
    assert [call["payment"]["amount"] for call in calls if "payment" in call] == ["0.5", "0.45"]


def test_what_a_person_reads(demos: dict[str, Played]) -> None:
    """Eight headings, the curl commands, the receipts, what to do next, and no colour in a pipe."""
    text = demos["text"].out

    assert re.findall("^([0-9])  ", text, re.MULTILINE) == list("12345678")
    assert text.count("$ curl ") == 10
    assert "The sellers took exactly $0.95; the ledger says $0.95." in text
    assert "farebox init" in text
    assert "\x1b" not in text


def test_no_key_is_shown(demos: dict[str, Played]) -> None:
    """Neither the wallet's key nor the providers' stands anywhere in what is printed."""
    for played in demos.values():
        everything = played.out + played.err

        assert "sk-demo" not in everything
        longest = [word for word in re.findall("[0-9a-fA-F]{64,}", everything) if len(word) > 64]
        assert longest == []


def test_the_daemon_itself_is_what_runs(demos: dict[str, Played]) -> None:
    """With caps that do not let the portrait through the demo fails, and shows the daemon's log."""
    played = demos["tight"]

    assert played.code == 1
    assert "This is not as it should be: answered 403" in played.err
    assert '"event": "serving"' in played.err
    assert played.left_behind == ()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_halfway(tmp_path: Path, number: signal.Signals) -> None:
    """A demo that is stopped takes its daemon and its directory with it."""
    process = start(command("demo", "--text"), tmp_path)
    try:
        for _ in deadline(20):
            if (logs := list(tmp_path.glob("*/daemon.log"))) and "serving" in logs[0].read_text():
                break
            time.sleep(0.02)
        (daemon,) = _children(process.pid)
        process.send_signal(number)
        played = finish(process, tmp_path, time.monotonic())
    finally:
        stop(process)

    assert played.code == 1
    assert played.left_behind == ()
    assert not Path(f"/proc/{daemon}").exists()


def start(words: Any, home: Path) -> subprocess.Popen[bytes]:
    """Start a demo whose temporary directory is `home`."""
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes], home: Path, started: float) -> Played:
    """Wait for a demo's end."""
    out, err = process.communicate(timeout=DEMO_S)
    seconds = time.monotonic() - started
    return Played(process.returncode, out.decode(), err.decode(), seconds, _files(home))


def _files(home: Path) -> tuple[str, ...]:
    return tuple(os.listdir(home))  # noqa: PTH208 - names


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]
