"""`farebox wallet`: the address that pays. The key stays where it is."""

from typing import TYPE_CHECKING

import click

from proxy.cli.common import WRONG, Failure, Settings, config_errors, emit, load, options
from proxy.cli.groups import DefaultGroup

if TYPE_CHECKING:
    from proxy.configfile import Loaded


@click.group(cls=DefaultGroup, default="address")
def wallet() -> None:
    """Show the wallet's address (the default)."""


@wallet.command()
@options
def address(settings: Settings) -> None:
    """Print the checksummed address of the configured key: where to send USDC."""
    found = address_of(load(settings))
    if found is None:
        raise Failure("the config has no wallet: `farebox init` makes one", WRONG)
    emit(settings, {"address": found}, found)


def address_of(loaded: "Loaded") -> str | None:
    """Open the config's key for its address; None where there is no wallet."""
    from proxy.wallet import load_wallet  # noqa: PLC0415 - it loads the signing library

    if loaded.config.wallet is None:
        return None
    with config_errors():
        return load_wallet(loaded.config.wallet.key, loaded.base).address
