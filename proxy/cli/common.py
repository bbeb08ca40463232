"""What all commands share: their common options, how they print, and how they end."""

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Final, NoReturn, ParamSpec

import click

if TYPE_CHECKING:
    from proxy.configfile import Loaded

FINE: Final = 0
FAULT: Final = 1
WRONG: Final = 2
"""Wrong usage, or a config that cannot be used; click ends with the same code."""
REFUSED: Final = 3
"""Refused by a cap."""

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that every command has: which config, and whether to print for programs."""

    config: str | None
    json: bool


class Failure(click.ClickException):
    """End with a message on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = FAULT) -> None:
        super().__init__(message)
        self._code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has a plain attribute of the class here
        """The exit code, for click."""
        return self._code


def options(command: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Give a command `--config` and `--json`, after it or before it, as its first argument."""

    @click.option("--config", metavar="FILE", help="The config file.")
    @click.option(
        "--json/--text",
        "as_json",
        default=None,
        help="For programs, or for people (on a terminal).",
    )
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        own: dict[str, Any] = {name: kwargs.pop(name) for name in ("config", "as_json")}
        before = click.get_current_context().find_root().params
        given: dict[str, Any] = {
            name: before.get(name) if own[name] is None else own[name] for name in own
        }
        if given["as_json"] is None:
            given["as_json"] = not sys.stdout.isatty()
        command(Settings(given["config"], given["as_json"]), *args, **kwargs)

    return wrapped


def emit(settings: Settings, data: object, text: str) -> None:
    """Print an answer: the data as JSON for programs, the text for people."""
    click.echo(json_text(data, indent=2) if settings.json else text)


def json_text(data: object, indent: int | None = None) -> str:
    """Write JSON in which nothing can move a terminal's cursor: what is no letter is escaped."""
    written = json.dumps(data, indent=indent, ensure_ascii=False)
    if written.replace("\n", "").isprintable():
        return written
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in written)


def end(code: int) -> NoReturn:
    """Leave with an exit code, everything having been said."""
    click.get_current_context().exit(code)


@contextmanager
def config_errors() -> Iterator[None]:
    """Turn a ConfigError into its report on stderr and the exit code for a bad config."""
    from proxy.configfile import ConfigError  # noqa: PLC0415 - `version` needs no config, and no pydantic

    try:
        yield
    except ConfigError as error:
        report = f"the config cannot be used:\n{error}" if len(error.problems) > 1 else str(error)
        raise Failure(report, WRONG) from None


def load(settings: Settings) -> "Loaded":
    """Read the config that the options name, or end with the report of all that is wrong."""
    from proxy.configfile import find_config, read_config  # noqa: PLC0415 - as above

    with config_errors():
        return read_config(find_config(settings.config))
