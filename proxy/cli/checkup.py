"""What `farebox doctor` looks at outside the ledger: config, keys, files, disk and daemon.

Each check is a function that yields findings, one sentence each and what to do about it. None
changes anything; where a check is about a running daemon, its own word counts.
"""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from proxy.cli.advice import advice
from proxy.cli.books import is_there
from proxy.cli.common import Failure
from proxy.cli.hello import Running, listeners
from proxy.cli.wallet import address_of

if TYPE_CHECKING:
    from proxy.configfile import Loaded, Problem
    from proxy.core.config import Config

Verdict = Literal["ok", "warn", "fail"]
OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"

LEDGER_BYTES_MIN: Final = 16 << 20
"""With less than this free a busy day's ledger may not fit, and then nothing is signed."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: one sentence, and what to do where it is not fine."""

    check: str
    verdict: Verdict
    message: str
    todo: str = ""


def signing() -> Iterator[Finding]:
    """Signing is done by native code, and it works."""
    try:
        from proxy.wallet import Wallet  # noqa: PLC0415 - it may be missing, which is a finding

        Wallet(bytes(31) + b"\1").sign(bytes(32))
    except (ImportError, OSError, ValueError) as problem:
        message = f"the signing libraries do not work: {problem}"
        yield Finding("signing", FAIL, message, "install coincurve and safe-pysha3 again")
    else:
        yield Finding("signing", OK, "the native signing library is there and signs")


def config(path: str, loaded: "Loaded | None", problems: "Iterable[Problem]") -> Iterator[Finding]:
    """The config is valid, or here is all that is wrong with it."""
    for problem in problems:
        yield Finding("config", FAIL, f"{path}: {problem}", "farebox check lists every problem")
    if loaded is not None:
        more = (
            "; farebox check warns of what may not be meant" if any(advice(loaded.config)) else ""
        )
        yield Finding("config", OK, f"{path} is valid{more}")


def wallet(loaded: "Loaded", of_daemon: str | None) -> Iterator[Finding]:
    """The key can be read; where only the service can read it, the daemon's word counts."""
    ref = loaded.config.wallet
    if ref is None:
        yield Finding("wallet", OK, "no wallet is configured, and nothing is ever paid")
        return
    if of_daemon is not None and ref.key.credential is not None:
        yield Finding("wallet", OK, f"the daemon has its credential open: {of_daemon}")
        return
    try:
        address = address_of(loaded)
    except (Failure, ImportError) as problem:
        message = f"the key cannot be opened: {problem}"
        yield Finding("wallet", FAIL, message, "see its place in the config, and the file's mode")
        return
    if of_daemon not in (None, address):
        message = f"the key is that of {address}, but the daemon pays from {of_daemon}"
        yield Finding("wallet", WARN, message, "have the daemon read it again: SIGHUP or restart")
    else:
        yield Finding("wallet", OK, f"the key of {address} can be opened")


def files(loaded: "Loaded", running: Running) -> Iterator[Finding]:
    """Every secret that the config names beside the wallet's is there, and private."""
    from proxy.configfile import file_problems  # noqa: PLC0415 - it comes with pydantic

    every = loaded.place(file_problems(loaded.config, loaded.base))
    problems = [problem for problem in every if not problem.path.startswith("wallet.")]
    for problem in problems:
        theirs = running.running and problem.path.endswith((".credential", ".env"))
        verdict: Verdict = WARN if theirs else FAIL
        todo = "the running daemon has its own environment" if theirs else "mend it as it says"
        yield Finding("files", verdict, str(problem), todo)
    if not problems:
        yield Finding("files", OK, "every provider's key that the config names is there, private")


def state_dir(loaded: "Loaded") -> Iterator[Finding]:
    """The ledger's directory can be written, by us alone, and the disk has room."""
    directory = loaded.state_dir
    there = next((p for p in (directory, *directory.parents) if is_there(p)), Path("/"))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        message = f"{directory} cannot be written by user {os.geteuid()}"
        yield Finding("state_dir", FAIL, message, "run as the daemon's user, or choose another")
        return
    if there != directory:
        yield Finding("state_dir", OK, f"{directory} is made at the first start")
    elif directory.stat().st_mode & _OTHERS_WRITE:
        message = f"others can write to {directory}, and so to the ledger"
        yield Finding("state_dir", FAIL, message, f"chmod 700 {directory}")
    elif directory.stat().st_mode & _OTHERS:
        message = f"others can look into {directory}: it says what was bought"
        yield Finding("state_dir", WARN, message, f"chmod 700 {directory}")
    else:
        yield Finding("state_dir", OK, f"{directory} can be written")
    yield _room(there, loaded.config.limits.body_bytes_max)


def _room(there: Path, body_bytes: int) -> Finding:
    """Bodies are spooled beside the ledger: the largest must leave it room."""
    free = shutil.disk_usage(there).free
    message = f"{free >> 20} MiB are free at {there}"
    if free < LEDGER_BYTES_MIN:
        return Finding("disk", FAIL, message, "make room: a ledger that cannot grow signs nothing")
    if free < LEDGER_BYTES_MIN + body_bytes:
        return Finding("disk", WARN, message, "make room: a body of limits.body_bytes_max fills it")
    return Finding("disk", OK, message)


def daemon(loaded: "Loaded", running: Running) -> Iterator[Finding]:
    """Whether it runs, and where; if not, whether its place is free."""
    if running.running:
        message = f"running at {running.address}, version {running.version}"
        yield Finding("daemon", OK, message)
        return
    taken = listeners(loaded)
    for address in taken:
        message = f"no daemon of this config answers, yet something listens at {address}"
        yield Finding("daemon", FAIL, message, "end that program, or listen elsewhere")
    if not taken:
        yield Finding("daemon", OK, "not running: farebox serve starts it")


def caps(config: "Config") -> Iterator[Finding]:
    """Which of the two caps that must be said are none."""
    missing = [window for window in ("per_request", "day") if getattr(config.caps, window) is None]
    for window in missing:
        message = f"caps.{window} is none: the wallet's balance is the limit"
        yield Finding("caps", WARN, message, "set one")
    if not missing:
        yield Finding("caps", OK, "there is a limit for a request and for a day")


def prices(config: "Config") -> Iterator[Finding]:
    """Which providers get a key and have no prices."""
    for name, provider in config.providers.items():
        if provider.auth is not None and provider.prices is None:
            message = f"calls to {name} with our key count against no cap: it has no prices"
            yield Finding("prices", WARN, message, f"list them under providers.{name}.prices")


def chains(config: "Config") -> Iterator[Finding]:
    """Which networks are paid on and not read."""
    paid = {n for p in config.providers.values() if p.pay is not None for n in p.pay.networks}
    for network in sorted(paid):
        facts = config.networks.get(network)
        if facts is not None and facts.rpc_url is not None:
            yield Finding("chain", OK, f"{network} is read where its rpc_url says")
            continue
        message = (
            f"{network} is paid on and has no rpc_url: payments of unknown outcome count until they"
            " leave their windows, those that were never taken are not given back, and nobody"
            " notices a stolen key"
        )
        yield Finding("chain", WARN, message, f"set networks.{network}.rpc_url")
