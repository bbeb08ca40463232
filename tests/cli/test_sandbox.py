"""`farebox sandbox`."""

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.configfile import parse_config
from tests.cli.house import clean_environment, command, farebox
from tests.rig.process import ROOT, STOP_S, announced, stop

ANY_PORTS = ("--blockrun-port", "0", "--sunra-port", "0", "--pomex-port", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """One JSON line says where it is; a signal ends it with exit code 0."""
    with serving(tmp_path) as (process, said):
        assert set(said) == {"blockrun", "sunra", "pomex", "api_key", "config"}
        assert _status(f"{said['blockrun']}/v1/portrait/enroll", b"{}") == 400
        assert _status(f"{said['sunra']}/v1/ark/assets/x") == 401
        process.send_signal(number)

        assert process.wait(STOP_S) == 0


def test_config_that_it_offers_is_whole(tmp_path: Path) -> None:
    """The snippet is a valid config, and leads to these three providers."""
    with serving(tmp_path) as (_, said):
        config = parse_config(said["config"].encode(), tmp_path / "sandbox.yaml").config

    urls = {name: provider.base_url for name, provider in config.providers.items()}
    assert urls == {name: said[name] for name in ("blockrun", "sunra", "pomex")}


def test_what_a_person_reads(tmp_path: Path) -> None:
    """On a terminal there is the snippet, how to start with it, and the faults."""
    process = _start(tmp_path, "--text")
    try:
        assert process.stdout is not None
        lines = []
        while "Ctrl-C" not in (line := process.stdout.readline().decode()):
            assert line
            lines.append(line)
    finally:
        stop(process)

    text = "".join(lines)
    assert "kind: blockrun" in text
    assert "FAREBOX_SANDBOX_KEY=sk-sandbox farebox serve --config sandbox.yaml" in text
    assert "settle_then_drop" in text


def test_port_that_is_taken(tmp_path: Path) -> None:
    """A port in use is exit code 1 and a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = farebox("sandbox", *ANY_PORTS[2:], "--blockrun-port", port, home=tmp_path)

    assert (said.code, said.out) == (1, "")
    assert "cannot listen" in said.err


@pytest.mark.parametrize("words", [("--job-s", "-1"), ("--balance", "1e3"), ("--api-key", "")])
def test_wrong_usage(tmp_path: Path, words: tuple[str, str]) -> None:
    """What cannot be meant is exit code 2."""
    assert farebox("sandbox", *ANY_PORTS, *words, home=tmp_path).code == 2


@contextmanager
def serving(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Run it, and read what it says when it is ready."""
    process = _start(home, "--json")
    try:
        yield process, announced(process, home / "stderr")
    finally:
        stop(process)


def _start(home: Path, *words: str) -> subprocess.Popen[bytes]:
    with (home / "stderr").open("wb") as errors:
        return subprocess.Popen(
            command("sandbox", *ANY_PORTS, *words),
            cwd=ROOT,
            env=clean_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def _status(url: str, body: bytes | None = None) -> int:
    request = urllib.request.Request(url, body)  # noqa: S310 - our own loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            json.load(error)
            return error.code
