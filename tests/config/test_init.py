"""`farebox init`: a good start, and nothing of what stands is ever touched."""

import json
import os
import re
import stat
from pathlib import Path

import pytest
from eth_account import Account

from proxy.configfile import file_problems, read_config
from tests.config.conftest import KEY, MINIMAL, Run

ADDRESS = "0x" + Account.from_key(KEY).address[2:]
WALLET = 'wallet: {key: {file: "wallet.key"}}\n'


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def place(directory: Path, **contents: str) -> Path:
    """Put files into a private directory: `config`, `key`."""
    directory.mkdir(mode=0o700)
    for name, content in contents.items():
        path = directory / {"config": "config.yaml", "key": "wallet.key"}[name]
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
    return directory


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_fresh_start(run: Run, tmp_path: Path, umask: int) -> None:
    """A fresh home gets a key and a config that work, readable by their owner alone."""
    before = os.umask(umask)
    try:
        result = run("init", "--json")
    finally:
        os.umask(before)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    directory = tmp_path / "home" / ".config" / "farebox"
    config, key = directory / "config.yaml", directory / "wallet.key"
    assert answer["config"] == {"path": str(config), "created": True}
    assert answer["key"] == {"path": str(key), "created": True}
    assert [mode(path) for path in (config, key)] == [0o600, 0o600]
    assert mode(directory) & 0o077 == 0
    assert re.fullmatch(r"0x[0-9a-f]{64}\n", key.read_text())
    assert answer["address"] == Account.from_key(key.read_text().strip()).address
    loaded = read_config(config)
    assert file_problems(loaded.config, loaded.base) == ()


def test_words_say_what_to_do_next(run: Run, tmp_path: Path) -> None:
    """A person reads the address, how to fund it, how to keep it, and what to type; not the key."""
    result = run("init", "--text")
    key = (tmp_path / "home" / ".config" / "farebox" / "wallet.key").read_text().strip()
    for part in (Account.from_key(key).address, "USDC on Base", "Back it up", "farebox serve"):
        assert part in result.stdout
    assert "curl http://localhost:8402/" in result.stdout
    assert key.removeprefix("0x") not in result.stdout + result.stderr


def test_second_time_changes_nothing(run: Run, tmp_path: Path) -> None:
    """Asked again, it says what stands and leaves every byte of it."""
    directory = tmp_path / "there"
    first = json.loads(run("init", "--dir", str(directory)).stdout)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    result = run("init", "--text", "--dir", str(directory))
    assert result.returncode == 0
    assert result.stdout.count("stands already") == 2
    assert first["address"] in result.stdout
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_key_that_stands_is_kept(run: Run, tmp_path: Path) -> None:
    """With a key and no config, the config is written around that key."""
    directory = place(tmp_path / "there", key=KEY)
    answer = json.loads(run("init", "--dir", str(directory)).stdout)
    assert answer["address"] == ADDRESS
    assert (answer["key"]["created"], answer["config"]["created"]) == (False, True)
    assert (directory / "wallet.key").read_text() == KEY


def test_config_that_stands_is_kept(run: Run, tmp_path: Path) -> None:
    """With a config and no key, the key is made where the config wants it."""
    elsewhere = tmp_path / "keys" / "k"
    content = MINIMAL + f"wallet: {{key: {{file: '{elsewhere}'}}}}\n"
    directory = place(tmp_path / "there", config=content)
    answer = json.loads(run("init", "--dir", str(directory)).stdout)
    assert answer["key"] == {"path": str(elsewhere), "created": True}
    assert mode(elsewhere) == 0o600
    assert (directory / "config.yaml").read_text() == content
    assert not (directory / "wallet.key").exists()


def test_config_with_another_kind_of_key(run: Run, tmp_path: Path) -> None:
    """Where the config keeps its key otherwise, no second key is made to collect lost money."""
    directory = place(
        tmp_path / "there", config=f"{MINIMAL}wallet: {{key: {{env: FAREBOX_TEST_KEY}}}}\n"
    )
    result = run("init", "--dir", str(directory), FAREBOX_TEST_KEY=KEY)
    answer = json.loads(result.stdout)
    assert answer["address"] == ADDRESS
    assert answer["key"] == {"path": None, "created": False}
    assert [path.name for path in directory.iterdir()] == ["config.yaml"]
    assert run("init", "--dir", str(directory)).returncode == 2


def test_config_without_a_wallet(run: Run, tmp_path: Path) -> None:
    """Where the config names no wallet, a key is made and the line to add is printed."""
    directory = place(tmp_path / "there", config=MINIMAL)
    result = run("init", "--text", "--dir", str(directory))
    assert result.returncode == 0
    assert f'wallet: {{key: {{file: "{directory}/wallet.key"}}}}' in result.stdout
    assert mode(directory / "wallet.key") == 0o600


def test_bad_config_makes_nothing(run: Run, tmp_path: Path) -> None:
    """A config that cannot be read says nothing about its key, so none is made."""
    directory = place(tmp_path / "there", config="caps: 3\n")
    result = run("init", "--dir", str(directory))
    assert result.returncode == 2
    assert "caps: expected settings" in result.stderr
    assert [path.name for path in directory.iterdir()] == ["config.yaml"]


def test_key_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    """A key file that is loose or no key is told, and left."""
    directory = place(tmp_path / "there", key=KEY)
    (directory / "wallet.key").chmod(0o644)
    result = run("init", "--text", "--dir", str(directory))
    assert result.returncode == 2
    assert "chmod 600" in result.stdout
    assert mode(directory / "wallet.key") == 0o644
    assert KEY[2:] not in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["wallet.key", "config.yaml"])
def test_symlink_is_not_followed(run: Run, tmp_path: Path, name: str) -> None:
    """A symlink in the way is never written through."""
    directory = place(tmp_path / "there")
    (directory / name).symlink_to(tmp_path / "target")
    assert run("init", "--dir", str(directory)).returncode == 2
    assert not (tmp_path / "target").exists()


def test_directory_that_others_can_write(run: Run, tmp_path: Path) -> None:
    """No key is put where somebody else could put another one in its place."""
    directory = place(tmp_path / "there")
    directory.chmod(0o777)
    result = run("init", "--dir", str(directory))
    assert result.returncode == 1
    assert "others can write" in result.stderr
    assert list(directory.iterdir()) == []


def test_config_apart_from_the_key(run: Run, tmp_path: Path) -> None:
    """`--config` and `--dir` may differ: the config then names the key by its whole path."""
    config, keys = tmp_path / "a" / "farebox.yaml", tmp_path / "b"
    result = run("--config", str(config), "init", "--dir", str(keys), "--text")
    assert f"farebox --config {config} serve" in result.stdout
    wallet = read_config(config).config.wallet
    assert wallet is not None
    assert wallet.key.file == str(keys / "wallet.key")


def test_config_of_the_environment(run: Run, tmp_path: Path) -> None:
    """$FAREBOX_CONFIG says where the config goes, as on every verb; `--dir` is nearer."""
    config, other = tmp_path / "a" / "farebox.yaml", tmp_path / "b"
    result = run("init", "--text", FAREBOX_CONFIG=str(config))
    assert f"wrote {config}\nwrote {config.parent / 'wallet.key'}\n" in result.stdout
    assert "             farebox serve\n" in result.stdout
    assert not (tmp_path / "home").exists()
    result = run("init", "--dir", str(other), "--text", FAREBOX_CONFIG=str(config))
    assert f"farebox --config {other / 'config.yaml'} serve" in result.stdout


def test_place_that_cannot_be(run: Run, tmp_path: Path) -> None:
    """A directory that cannot be made is a fault in one line."""
    (tmp_path / "file").write_text("")
    result = run("init", "--dir", str(tmp_path / "file" / "below"))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Not a directory" in result.stderr
