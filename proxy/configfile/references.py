"""From a reference to the secret itself, and the check that all references lead somewhere.

Neither the secret nor, where it might be a secret pasted into the wrong place, the reference
appears in a message.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.configfile.files import Untrusted, read_credential, read_private, resolve_path
from proxy.configfile.problems import ConfigError, Problem, join
from proxy.core.config import Config, KeyRef, SecretRef

_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}", re.ASCII)
_PATH_LIKE: Final = ("/", "./", "../", "~")


def resolve_secret(ref: SecretRef | KeyRef, base: Path, where: str = "") -> str:
    """Fetch the secret that a reference names, without its last newline, or raise ConfigError.

    `base` is the directory that relative paths start at, `where` the path of the reference in the
    config, for the report. A keystore is not text of one line: for that, see `read_reference`.
    """
    secret = read_reference(ref, base, where)
    try:
        text = secret.decode("ascii").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _problem(ref, where, "something in it is not printable ASCII") from None
    if not text:
        raise _problem(ref, where, "empty")
    if not text.isprintable():
        raise _problem(ref, where, "more than one line, or something that is not printable ASCII")
    return text


def read_reference(ref: SecretRef | KeyRef, base: Path, where: str = "") -> bytes:
    """Fetch the bytes behind a reference, a keystore's JSON too; see `proxy.configfile.files`."""
    try:
        match _source(ref):
            case "env", name:
                return _from_environment(name)
            case "credential", name:
                return _from_credentials(name)
            case _, path:
                return read_private(resolve_path(path, base))
    except Untrusted as reason:
        raise _problem(ref, where, str(reason)) from None


def file_problems(config: Config, base: Path) -> tuple[Problem, ...]:
    """Try every reference to a key or secret: files, their modes, credentials, the environment."""
    found: list[Problem] = []
    for where, ref in _references(config):
        keystore = isinstance(ref, KeyRef) and ref.keystore is not None
        try:
            (read_reference if keystore else resolve_secret)(ref, base, where)
        except ConfigError as error:
            found.extend(error.problems)
    return tuple(found)


def _references(config: Config) -> Iterator[tuple[str, SecretRef | KeyRef]]:
    if config.wallet is not None:
        yield "wallet.key", config.wallet.key
        if config.wallet.key.password is not None:
            yield "wallet.key.password", config.wallet.key.password
    for name, provider in config.providers.items():
        if provider.auth is not None:
            yield f"providers.{name}.auth.bearer", provider.auth.bearer


def _source(ref: SecretRef | KeyRef) -> tuple[str, str]:
    """The one source that a reference names, and the name."""
    for source in ("env", "credential", "file", "keystore"):
        name = getattr(ref, source, None)
        if isinstance(name, str):
            return source, name
    raise AssertionError("the model lets no reference without a source through")


def _from_environment(name: str) -> bytes:
    if not name or "=" in name or "\0" in name:
        raise Untrusted("this is no name of an environment variable")
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise Untrusted("this environment variable is not set")
    return value


def _from_credentials(name: str) -> bytes:
    if _CREDENTIAL_NAME.fullmatch(name) is None:
        raise Untrusted("this is no name of a credential")
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise Untrusted(
            "there is no $CREDENTIALS_DIRECTORY: credentials are there under systemd only"
        )
    return read_credential(Path(directory, name))


def _problem(ref: SecretRef | KeyRef, where: str, message: str) -> ConfigError:
    """Name the source, and a path if it surely is one: people paste keys into the wrong line."""
    source, name = _source(ref)
    shown = f"{name}: " if source in ("file", "keystore") and name.startswith(_PATH_LIKE) else ""
    return ConfigError([Problem(join(where, source), f"{shown}{message}")])
