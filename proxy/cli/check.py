"""`farebox check`: is the config good, are the files it names, and where would a request go?"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from proxy.cli.advice import advice
from proxy.cli.common import FAULT, WRONG, Settings, emit, end, load, options
from proxy.configfile import ConfigError, Loaded, Problem, file_problems, find_config, read_config


@click.command
@click.option(
    "--explain",
    "call",
    nargs=2,
    metavar="METHOD PATH",
    help="Say where this request would go and why, and send nothing.",
)
@click.option(
    "--body",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="The request's body, for --explain; - is stdin.",
)
@click.option(
    "--header", "headers", multiple=True, metavar="'K: V'", help="A header of it, for --explain."
)
@options
def check(
    settings: Settings, call: tuple[str, str] | None, body: Path | None, headers: tuple[str, ...]
) -> None:
    """Check the config and the files it names; list every problem at once."""
    if call is None:
        if body is not None or headers:
            raise click.UsageError("--body and --header belong to --explain")
        _check(settings)
    else:
        _explain(settings, call, body, headers)


def _check(settings: Settings) -> None:
    path, loaded, problems = read_whole(settings)
    warnings = () if loaded is None else loaded.place(advice(loaded.config))
    address = None
    if loaded is not None:
        problems = loaded.place(file_problems(loaded.config, loaded.base))
        address, found = _open_wallet(loaded, problems)
        problems += found
    answer: dict[str, Any] = {
        "ok": not problems,
        "path": path,
        "digest": None if loaded is None else loaded.digest,
        "wallet": address,
        "problems": [_as_json(problem) for problem in problems],
        "warnings": [_as_json(warning) for warning in warnings],
    }
    emit(settings, answer, _report(path, loaded, address, problems, warnings))
    if problems:
        end(WRONG)


def read_whole(settings: Settings) -> tuple[str, Loaded | None, tuple[Problem, ...]]:
    """The path as far as it is known, and either the config or what is wrong with it."""
    path = settings.config or ""
    try:
        found = find_config(settings.config)
        path = str(found)
        return path, read_config(found), ()
    except ConfigError as error:
        return path, None, error.problems


def _open_wallet(
    loaded: Loaded, problems: Iterable[Problem]
) -> tuple[str | None, tuple[Problem, ...]]:
    """The wallet's address, where its file may be opened at all."""
    from proxy.wallet import load_wallet  # noqa: PLC0415 - a bad config is told without its libraries

    wallet = loaded.config.wallet
    if wallet is None or any(problem.path.startswith("wallet.") for problem in problems):
        return None, ()
    try:
        return load_wallet(wallet.key, loaded.base).address, ()
    except ConfigError as error:
        return None, loaded.place(error.problems)


def _report(
    path: str,
    loaded: Loaded | None,
    address: str | None,
    problems: tuple[Problem, ...],
    warnings: tuple[Problem, ...],
) -> str:
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{path}: {count}", *(f"  {problem}" for problem in problems)]
    else:
        lines = [f"{path} is fine"]
    if loaded is not None and not problems:
        lines.append(f"  listens   {', '.join(loaded.config.listen)}")
        lines.append(f"  providers {', '.join(loaded.config.providers)}")
        lines.append(f"  wallet    {address or 'none: nothing is ever paid'}")
    lines += [f"  warning: {warning}" for warning in warnings]
    return "\n".join(lines)


def _as_json(problem: Problem) -> dict[str, Any]:
    return {"path": problem.path, "message": problem.message, "line": problem.line}


def _explain(
    settings: Settings, call: tuple[str, str], body: Path | None, headers: tuple[str, ...]
) -> None:
    from proxy.cli.explain import Call, explain, in_words  # noqa: PLC0415 - only this needs the ledger
    from proxy.core.bodies import READ_BYTES_MAX, TOO_LONG, Unread, read_body  # noqa: PLC0415 - as above

    loaded = load(settings)
    data = b"" if body is None else _bytes(body, loaded.config.limits.body_bytes_max)
    method, target = call
    fields = read_body(data) if len(data) <= READ_BYTES_MAX else TOO_LONG
    if isinstance(fields, Unread) and not fields.says_nothing:
        raise click.UsageError(f"the body cannot be read, here or by the daemon: {fields.why}")
    said = {} if isinstance(fields, Unread) else fields
    asked = Call(method.upper(), target, dict(map(_header, headers)), said)
    story = explain(loaded, asked)
    emit(settings, {"method": asked.method, "target": target, **story}, in_words(asked, story))
    if "code" in story:
        end(FAULT)


def _bytes(path: Path, bytes_max: int) -> bytes:
    with click.open_file(str(path), "rb") as file:
        data: bytes = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise click.UsageError(f"the body is larger than limits.body_bytes_max, {bytes_max}")
    return data


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError("a header is written 'Name: value'")
    return name.strip().lower(), value.strip()
