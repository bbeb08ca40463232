"""`farebox wallet`: the address that pays, and what froze it. The key stays where it is."""

import sys
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.books import by_hand, reading
from proxy.cli.common import WRONG, Failure, Settings, config_errors, emit, load, options
from proxy.cli.groups import DefaultGroup
from proxy.cli.layout import local_time, table
from proxy.store.onchain import frozen
from proxy.store.records import ForeignUse

if TYPE_CHECKING:
    from proxy.configfile import Loaded

FROZEN = (
    "Somebody else has the key: they signed with it what was never signed here. Whoever has a key"
    " can take the whole balance at any time; no cap holds them. Move the money to a new wallet."
)


@click.group(cls=DefaultGroup, default="address")
def wallet() -> None:
    """Show the wallet's address (the default), or unfreeze it.

    A wallet is frozen when the chain shows that something was signed with its key that was never
    signed here. It means that somebody else has the key, and can take the whole balance at any
    time, whatever the caps say. Move the money to a new wallet, made by `farebox init --dir`, and
    point the config there: a new wallet is not frozen. Unfreeze the old one only if it was you,
    with the same key in another program.
    """


@wallet.command()
@options
def address(settings: Settings) -> None:
    """Print the checksummed address of the configured key: where to send USDC."""
    found = address_of(load(settings))
    if found is None:
        raise Failure("the config has no wallet: `farebox init` makes one", WRONG)
    emit(settings, {"address": found}, found)


@wallet.command()
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody sits at a terminal.")
@options
def unfreeze(settings: Settings, *, yes: bool) -> None:
    """Accept the foreign uses of the key that are known by now, and pay with it again."""
    state_dir = load(settings).state_dir
    with reading(state_dir) as db:
        uses = frozen(db)
    answer: dict[str, Any] = {
        "unfrozen": len(uses),
        "foreign_uses": [_as_json(use) for use in uses],
    }
    if not uses:
        emit(settings, answer, "No wallet is frozen.")
        return
    if not yes:
        _confirm(uses)
    with by_hand(state_dir, "the wallet was NOT unfrozen") as people:
        answer["unfrozen"] = people.unfreeze(uses)
    emit(settings, answer, f"{_shown(uses)}\n\nUnfrozen: these uses are accepted, and no others.")


def address_of(loaded: "Loaded") -> str | None:
    """Open the config's key for its address; None where there is no wallet."""
    from proxy.wallet import load_wallet  # noqa: PLC0415 - it loads the signing library

    if loaded.config.wallet is None:
        return None
    with config_errors():
        return load_wallet(loaded.config.wallet.key, loaded.base).address


def _confirm(uses: tuple[ForeignUse, ...]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: if you mean it, add --yes")
    click.echo(f"{_shown(uses)}\n\n{FROZEN}\n", err=True)
    click.confirm("Was it you, and shall this key pay again?", abort=True, err=True)


def _shown(uses: tuple[ForeignUse, ...]) -> str:
    rows = [
        (use.wallet, use.network, f"0x{use.nonce.hex()}", use.tx, local_time(use.seen_at))
        for use in uses
    ]
    return table(("WALLET", "NETWORK", "NONCE", "TRANSACTION", "SEEN"), rows)


def _as_json(use: ForeignUse) -> dict[str, Any]:
    return {
        "wallet": use.wallet,
        "network": use.network,
        "asset": use.asset,
        "nonce": f"0x{use.nonce.hex()}",
        "tx": use.tx,
        "seen_at": use.seen_at,
    }
