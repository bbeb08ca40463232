"""Files and secrets: which are found, which are trusted, and that none of them is shown."""

import hashlib
import os
from pathlib import Path

import pytest

from proxy.configfile import (
    ConfigError,
    file_problems,
    find_config,
    parse_config,
    read_config,
    read_reference,
    resolve_secret,
)
from proxy.core.config import KeyRef, SecretRef
from tests.config.conftest import KEY, MINIMAL, Write

CANARY = "canary-5e1f"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def refusal(path: Path) -> str:
    """Why a config file is not read."""
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    (problem,) = caught.value.problems
    return problem.message


def test_config_is_read_with_its_digest(write: Write) -> None:
    """A good file becomes a config, the hash of its bytes, and its absolute path."""
    path = write(MINIMAL, mode=0o644)
    loaded = read_config(path)
    assert loaded.digest == hashlib.sha256(MINIMAL.encode()).hexdigest()
    assert loaded.path == path
    assert loaded.base == path.parent
    assert list(loaded.config.providers) == ["blockrun"]


def test_relative_path_becomes_absolute(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in the config start at the config's directory, from wherever it was named."""
    path = write(MINIMAL + "state_dir: state\n")
    monkeypatch.chdir(path.parent)
    assert read_config(Path("config.yaml")).state_dir == path.parent / "state"


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o622])
def test_config_that_others_can_write(write: Write, mode: int) -> None:
    """A config that somebody else could have written is not believed."""
    assert "others can write" in refusal(write(MINIMAL, mode=mode))


@as_root
def test_config_of_somebody_else(write: Write) -> None:
    """A config that is neither ours nor root's is not believed."""
    path = write(MINIMAL)
    os.chown(path, 65534, -1)
    assert "belongs to user 65534" in refusal(path)


@as_user
def test_config_that_cannot_be_read(write: Write) -> None:
    """A file without the right to read it is a problem and no crash."""
    assert "cannot be opened" in refusal(write(MINIMAL, mode=0o200))


def test_config_that_is_missing_or_no_file(tmp_path: Path) -> None:
    """A missing file, a directory and a pipe are problems; the pipe is not waited for."""
    assert "no such file" in refusal(tmp_path / "none.yaml")
    assert "regular" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "regular" in refusal(tmp_path / "pipe")


def test_secret_where_nobody_may_look(write: Write) -> None:
    """A name that the system cannot even look at is a problem of the config, and no crash."""
    path = write(MINIMAL)
    assert "cannot be opened" in secret_refusal(SecretRef(file="a" * 300), path.parent)


def test_config_of_a_mebibyte_is_the_largest(write: Write) -> None:
    """One byte more than 1 MiB is refused before it is parsed."""
    padding = "#" * ((1 << 20) - len(MINIMAL) - 1)
    assert read_config(write(f"{MINIMAL}{padding}\n")).config.wallet is None
    assert "larger" in refusal(write(f"{MINIMAL}{padding}#\n"))


def test_config_may_be_json(write: Write) -> None:
    """What JSON can express may be JSON, indented with tabs too."""
    path = write(
        '{\n\t"caps": {"per_request": "1.00", "day": "none"},\n'
        '\t"providers": {"a": {"kind": "http", "base_url": "http:\\/\\/127.0.0.1:1"}}\n}\n'
    )
    assert read_config(path).config.providers["a"].base_url == "http://127.0.0.1:1"


def test_where_the_config_is_looked_for(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, $FAREBOX_CONFIG, the person's own, the machine's: the first that is said wins."""
    home = write(MINIMAL).parent
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("FAREBOX_CONFIG", "~/by-env.yaml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert find_config("~/asked.yaml") == home / "asked.yaml"
    assert find_config(None) == home / "by-env.yaml"
    monkeypatch.setenv("FAREBOX_CONFIG", "")
    own = home / "xdg" / "farebox"
    own.mkdir(parents=True)
    write(MINIMAL, "xdg/farebox/config.yaml")
    assert find_config(None) == own / "config.yaml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    (home / ".config" / "farebox").mkdir(parents=True)
    write(MINIMAL, ".config/farebox/config.yaml")
    assert find_config(None) == home / ".config" / "farebox" / "config.yaml"


def test_the_machines_config_is_the_last(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The machine's config counts where the person has none, and nobody's is the person's."""
    for name in ("FAREBOX_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("proxy.configfile.SYSTEM_CONFIG", tmp_path / "etc.yaml")
    assert find_config(None) == tmp_path / ".config" / "farebox" / "config.yaml"
    assert find_config(None) != write(MINIMAL, "etc.yaml")
    assert find_config(None) == tmp_path / "etc.yaml"


def secret_refusal(ref: SecretRef | KeyRef, base: Path) -> str:
    """The whole report on a secret that cannot be had."""
    with pytest.raises(ConfigError) as caught:
        resolve_secret(ref, base, "wallet.key")
    assert CANARY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_secret_from_a_file(write: Write, mode: int, end: str) -> None:
    """A private file gives its one line, without the newline."""
    path = write(f"{CANARY}{end}", "key", mode)
    assert resolve_secret(SecretRef(file="key"), path.parent) == CANARY
    assert resolve_secret(SecretRef(file=str(path)), Path("/")) == CANARY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700, 0o644, 0o666])
def test_secret_that_others_can_touch(write: Write, mode: int) -> None:
    """A secret's file has mode 0600 or 0400, or it is not read."""
    path = write(CANARY, "key", mode)
    report = secret_refusal(SecretRef(file="key"), path.parent)
    assert report.startswith("wallet.key.file: ")
    assert f"{mode:04o}" in report
    assert "chmod 600" in report


def test_secret_behind_a_symlink(write: Write) -> None:
    """A symlink is not followed to a secret: whoever sets it chooses the key."""
    path = write(CANARY, "key")
    (path.parent / "link").symlink_to(path)
    assert "symlink" in secret_refusal(SecretRef(file="link"), path.parent)


@as_root
def test_secret_of_somebody_else(write: Write) -> None:
    """Another user's key is not ours, even for root."""
    path = write(CANARY, "key")
    os.chown(path, 65534, -1)
    assert "belongs to user 65534" in secret_refusal(SecretRef(file="key"), path.parent)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "empty"),
        ("\n", "empty"),
        (f"{CANARY}\n\n", "one line"),
        (f"{CANARY}\n{CANARY}", "one line"),
        (f"{CANARY}\t", "printable"),
        (f"{CANARY}é", "printable"),
        (CANARY * 2000, "larger"),
    ],
)
def test_secret_that_is_none(write: Write, content: str, part: str) -> None:
    """A secret is one line of printable ASCII, and the report never quotes it."""
    base = write(content, "key").parent
    assert part in secret_refusal(SecretRef(file="key"), base)


def test_missing_file_is_named_only_if_it_is_a_path(tmp_path: Path) -> None:
    """A key pasted where its file belongs is not repeated; a path is."""
    assert secret_refusal(SecretRef(file=CANARY), tmp_path) == "wallet.key.file: no such file"
    assert "./none" in secret_refusal(SecretRef(file="./none"), tmp_path)


def test_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable is read when it is asked for; the name of one that is not set is not shown."""
    monkeypatch.setenv("FAREBOX_TEST_KEY", CANARY)
    assert resolve_secret(SecretRef(env="FAREBOX_TEST_KEY"), tmp_path) == CANARY
    report = secret_refusal(SecretRef(env=CANARY), tmp_path)
    assert report == "wallet.key.env: this environment variable is not set"


def test_secret_from_a_credential(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential is a file in the service manager's directory, and nowhere else."""
    path = write(CANARY, "farebox-key", 0o400)
    ref = SecretRef(credential="farebox-key")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "CREDENTIALS_DIRECTORY" in secret_refusal(ref, path.parent)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert resolve_secret(ref, Path("/")) == CANARY
    for name in ("../farebox-key", "/etc/passwd", "..", ""):
        assert "no name" in secret_refusal(SecretRef(credential=name), path.parent)
    path.chmod(0o622)
    assert "others can write" in secret_refusal(ref, path.parent)


def test_keystore_is_read_whole(write: Write) -> None:
    """A keystore is JSON of many lines, under the same rules for its file."""
    path = write('{\n  "version": 3\n}\n', "key.json")
    ref = KeyRef(keystore="key.json", password=SecretRef(env="X"))
    assert b'"version": 3' in read_reference(ref, path.parent)


def test_every_reference_is_tried(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files and variables that a config names are tried at once, and good ones pass."""
    monkeypatch.delenv("FAREBOX_TEST_KEY", raising=False)
    base = write(KEY, "wallet.key", 0o644).parent
    text = (
        f"{MINIMAL}"
        "  a: {kind: http, base_url: 'https://a', auth: {bearer: {env: FAREBOX_TEST_KEY}}}\n"
        "  b: {kind: http, base_url: 'https://b', auth: {bearer: {file: b.key}}}\n"
        "wallet: {key: {keystore: wallet.key, password: {file: none}}}\n"
    )
    loaded = parse_config(text.encode(), base / "config.yaml")
    problems = loaded.place(file_problems(loaded.config, base))
    assert [(problem.path, problem.line) for problem in problems] == [
        ("wallet.key.keystore", 6),
        ("wallet.key.password.file", 6),
        ("providers.a.auth.bearer.env", 4),
        ("providers.b.auth.bearer.file", 5),
    ]
    write(KEY, "wallet.key")
    for name in ("none", "b.key"):
        write(CANARY, name)
    monkeypatch.setenv("FAREBOX_TEST_KEY", CANARY)
    assert file_problems(loaded.config, base) == ()
