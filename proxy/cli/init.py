"""`farebox init`: a wallet and a config to start from, beside whatever stands already.

Nothing is ever overwritten, the key least of all. The key is durable before its address is shown,
so that nobody funds a key that a power cut took away. If a config stands already, its own wallet
is the one that counts: a second key beside it would only collect money that the daemon cannot see.
"""

import json
import os
import stat
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.common import WRONG, Failure, Settings, config_errors, emit, end, options
from proxy.configfile import (
    ConfigError,
    Loaded,
    Problem,
    config_dir,
    find_config,
    read_config,
    resolve_path,
)
from proxy.core.config import KeyRef
from proxy.wallet import Wallet, load_wallet

KEY_NAME: Final = "wallet.key"
CONFIG_NAME: Final = "config.yaml"
_STARTER_KEY: Final = '"wallet.key"'


@dataclass(frozen=True, slots=True)
class Made:
    """What stands now: each file with whether it was made just now; no key file for other keys."""

    config: Path
    config_created: bool
    key: Path | None
    key_created: bool
    loaded: Loaded


@click.command
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where wallet.key goes, and config.yaml without --config."
    " [that of $FAREBOX_CONFIG, else ~/.config/farebox]",
)
@options
def init(settings: Settings, directory: Path | None) -> None:
    """Make a wallet and a config, and say what to do next; nothing is ever overwritten."""
    directory = None if directory is None else directory.expanduser()
    config = _config_path(settings, directory)
    key = (directory or config.parent).absolute() / KEY_NAME
    try:
        with config_errors():
            made = _make(config, key)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from None
    address, problems = _address(made)
    emit(settings, _as_json(made, address, problems), _in_words(made, address, problems))
    if problems:
        end(WRONG)


def _config_path(settings: Settings, directory: Path | None) -> Path:
    named = settings.config
    if named is None and directory is None:
        named = os.environ.get("FAREBOX_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    chosen = directory or config_dir()
    if chosen is None:
        raise Failure("there is no home directory here: say --dir or --config", WRONG)
    return chosen.absolute() / CONFIG_NAME


def _make(config: Path, key: Path) -> Made:
    """Make what is missing, the key first: a config never names a key that is not there."""
    standing = read_config(config) if os.path.lexists(config) else None
    wanted = key if standing is None else _key_of(standing, key)
    key_created = wanted is not None and _create(wanted, f"0x{_new_key().hex()}\n")
    if standing is not None:
        return Made(
            config, config_created=False, key=wanted, key_created=key_created, loaded=standing
        )
    config_created = _create(config, _starter(config, key))
    return Made(config, config_created, wanted, key_created, read_config(config))


def _key_of(standing: Loaded, new: Path) -> Path | None:
    """The key file that a standing config wants; None where its key is kept otherwise."""
    wallet = standing.config.wallet
    if wallet is None:
        return new
    return None if wallet.key.file is None else resolve_path(wallet.key.file, standing.base)


def _new_key() -> bytes:
    while True:
        key = os.urandom(32)
        try:
            Wallet(key)
        except ValueError:  # zero, or past the curve's order: it happens once in 2**128
            continue
        return key


def _starter(config: Path, key: Path) -> str:
    text = files("proxy.cli").joinpath("starter.yaml").read_text(encoding="utf-8")
    return text if key.parent == config.parent else text.replace(_STARTER_KEY, json.dumps(str(key)))


def _create(path: Path, text: str) -> bool:
    """Write a new file durably, for its owner alone; False if something stands there already."""
    _make_directory(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        return False
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
            os.fchmod(descriptor, 0o600)  # the same
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink()  # half a key is none, and would stand in the way of a whole one
        raise
    _sync(path.parent)
    return True


def _make_directory(path: Path) -> None:
    """Make a directory for its owner alone; one that stands must not be others' to write in."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.exists():
            _make_directory(path.parent)
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # whatever the umask is
        _sync(path.parent)
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise Failure(f"others can write to {path}: chmod go-w it, or choose another with --dir")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _address(made: Made) -> tuple[str | None, tuple[Problem, ...]]:
    wallet = made.loaded.config.wallet
    ref = KeyRef(file=str(made.key)) if wallet is None else wallet.key
    try:
        return load_wallet(ref, made.loaded.base).address, ()
    except ConfigError as error:
        return None, made.loaded.place(error.problems)


def _as_json(made: Made, address: str | None, problems: tuple[Problem, ...]) -> dict[str, Any]:
    return {
        "address": address,
        "config": {"path": str(made.config), "created": made.config_created},
        "key": {"path": None if made.key is None else str(made.key), "created": made.key_created},
        "problems": [str(problem) for problem in problems],
    }


def _in_words(made: Made, address: str | None, problems: tuple[Problem, ...]) -> str:
    lines = [_line(made.config, created=made.config_created)]
    if made.key is not None:
        lines.append(_line(made.key, created=made.key_created))
    if made.loaded.config.wallet is None:
        lines.append(f'The config names no wallet yet: add wallet: {{key: {{file: "{made.key}"}}}}')
    if address is None:
        return "\n".join([*lines, "The wallet cannot be opened:", *map(str, problems)])
    return "\n".join([*lines, "", *_next(made, address)])


def _line(path: Path, *, created: bool) -> str:
    return f"wrote {path}" if created else f"{path} stands already and stays as it is"


def _next(made: Made, address: str) -> list[str]:
    farebox = "farebox" if find_config(None) == made.config else f"farebox --config {made.config}"
    listen = made.loaded.config.listen[0].replace("127.0.0.1", "localhost")
    kept = made.key or "the key"
    return [
        f"Your wallet's address: {address}",
        "",
        "Fund it      Send a little USDC on Base, a few dollars, to this address; nothing on any",
        "             other network. It needs no ETH. Keep there only what you could lose.",
        f"Back it up   Copy {kept} to a safe place offline. Whoever has it can spend the money;",
        "             if you lose it, nobody can bring the money back.",
        f"Go on        {farebox} check",
        f"             {farebox} serve",
        f"             curl http://{listen}/v1/models",
    ]
