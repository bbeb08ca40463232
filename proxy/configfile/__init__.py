"""From a path to a whole, valid config, or to a report of everything that is wrong with it.

The file is read once, bounded, and only if nobody but its owner could have written it; it is strict
YAML (or JSON, which is YAML); it is validated against the model in `proxy.core.config`, and every
problem comes with its path in the file and its line. An empty or missing file is a problem and
never a set of defaults. Secrets stay references until `resolve_secret` is asked.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.configfile.files import (
    Untrusted,
    read_config_bytes,
    read_private,
    resolve_path,
)
from proxy.configfile.problems import ConfigError, Problem
from proxy.configfile.references import file_problems, read_reference, resolve_secret
from proxy.configfile.report import line_of, validate
from proxy.configfile.strict_yaml import parse_yaml
from proxy.core.config import Config

__all__ = [
    "ConfigError",
    "Loaded",
    "Problem",
    "Untrusted",
    "config_dir",
    "file_problems",
    "find_config",
    "parse_config",
    "read_config",
    "read_private",
    "read_reference",
    "read_source",
    "resolve_path",
    "resolve_secret",
]

FILE_NAME: Final = "config.yaml"
SYSTEM_CONFIG: Final = Path("/etc/farebox") / FILE_NAME


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config as it stood in its file.

    `digest` is the SHA-256 of the file's bytes in hex, `path` is absolute, `lines` has a line for
    each path in the file.
    """

    config: Config
    digest: str
    path: Path
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def base(self) -> Path:
        """The directory that relative paths in the config start at."""
        return self.path.parent

    @property
    def state_dir(self) -> Path:
        """Where the ledger lives: as the config says, else $STATE_DIRECTORY, else ~/.local."""
        given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        if given and "state_dir" not in self.config.model_fields_set:
            return Path(given)
        try:
            return resolve_path(self.config.state_dir, self.base)
        except Untrusted as reason:
            raise ConfigError(self.place([Problem("state_dir", str(reason))])) from None

    def place(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Add the lines of this file to problems that were found in what it refers to."""
        return tuple(Problem(p.path, p.message, line_of(p.path, self.lines)) for p in problems)


def config_dir() -> Path | None:
    """The directory of a person's own config, as XDG says; None where there is no home."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        # The XDG specification says that a relative path there is to be ignored.
        home = Path(given) if given.startswith("/") else resolve_path("~/.config", Path("/"))
    except Untrusted:
        return None
    return home / "farebox"


def find_config(explicit: str | None) -> Path:
    """Say which file is the config.

    It is the one asked for, else $FAREBOX_CONFIG; both are taken at their word. Else it is the
    person's own, else the machine's: the first that exists, or the person's own if neither does.
    """
    named = explicit or os.environ.get("FAREBOX_CONFIG")
    if named:
        try:
            return resolve_path(named, Path.cwd())
        except Untrusted as reason:
            raise ConfigError([Problem("", f"{named}: {reason}")]) from None
    directory = config_dir()
    own = directory / FILE_NAME if directory else SYSTEM_CONFIG
    return SYSTEM_CONFIG if not os.path.lexists(own) and os.path.lexists(SYSTEM_CONFIG) else own


def read_config(path: Path) -> Loaded:
    """Read, parse and validate the config file; ConfigError has all problems at once."""
    return parse_config(read_source(path), path)


def read_source(path: Path) -> bytes:
    """Read the bytes of a config file that nobody else can have written, or raise ConfigError."""
    try:
        return read_config_bytes(path)
    except Untrusted as reason:
        raise ConfigError([Problem("", f"{path}: {reason}")]) from None


def parse_config(source: bytes, path: Path) -> Loaded:
    """Turn the bytes of a config file into a `Config`; `path` is where they came from."""
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem("", f"{path}: not UTF-8", line)]) from None
    document = parse_yaml(text)
    config, problems = validate(document)
    if config is None or problems:
        raise ConfigError(problems)
    digest = hashlib.sha256(source).hexdigest()
    return Loaded(config, digest, path.absolute(), document.lines)
