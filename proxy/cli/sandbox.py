"""`farebox sandbox`: the providers in miniature, to integrate against before spending a cent."""

import asyncio
import json
import shlex
import signal
import textwrap
from typing import Final

import click

from proxy.cli.common import WRONG, Failure, Settings, options
from proxy.cli.layout import pairs
from proxy.cli.sandbox_config import KEY_VARIABLE, config_for
from proxy.core.money import format_usd, parse_usd
from proxy.sandbox import FAULTS, Sandbox, SandboxOptions
from proxy.sandbox import sandbox as make_sandbox

CAPS: Final = {"per_request": "1.00", "day": "20.00"}
WALLET: Final = "sandbox-wallet.key"
STATE_DIR: Final = "sandbox-state"
CONFIG: Final = "sandbox.yaml"
PORT: Final = click.IntRange(0, 65535)


@click.command()
@click.option(
    "--blockrun-port", type=PORT, default=8411, show_default=True, help="0: any free one."
)
@click.option("--sunra-port", type=PORT, default=8412, show_default=True, help="The same.")
@click.option("--pomex-port", type=PORT, default=8413, show_default=True, help="The same.")
@click.option(
    "--job-s", type=float, default=5.0, show_default=True, help="A generation takes this."
)
@click.option("--asset-s", type=float, default=1.0, show_default=True, help="An asset takes this.")
@click.option("--balance", default="100.00", show_default=True, help="Each wallet's USDC.")
@click.option("--api-key", default="sk-sandbox", show_default=True, help="What the keyed two take.")
@options
def sandbox(settings: Settings, /, balance: str, **given: object) -> None:
    """Serve miniature BlockRun, Sunra and PomexAI on this machine, until Ctrl-C.

    They check every signature, keep balances of imaginary USDC, and misbehave on request: add
    ?fault=NAME to any URL.
    """
    usd = parse_usd(balance)
    if usd is None:
        raise Failure('--balance is dollars with at most 6 decimals, such as "100.00"', WRONG)
    try:
        chosen = SandboxOptions(balance=usd, **given)  # type: ignore[arg-type]  # click made them so
    except ValueError as problem:
        raise Failure(str(problem), WRONG) from None
    try:
        asyncio.run(_serve(settings, chosen))
    except OSError as problem:
        raise Failure(f"cannot listen: {problem.strerror}; is a sandbox running already?") from None


async def _serve(settings: Settings, chosen: SandboxOptions) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with make_sandbox(chosen) as town:
        click.echo(json.dumps(_document(town)) if settings.json else _as_text(town))
        await stopping.wait()


def _document(town: Sandbox) -> dict[str, str]:
    return {
        "blockrun": town.blockrun_url,
        "sunra": town.sunra_url,
        "pomex": town.pomex_url,
        "api_key": town.options.api_key,
        "config": _config(town),
    }


def _config(town: Sandbox) -> str:
    return config_for(town, CAPS, wallet=WALLET, state_dir=STATE_DIR)


def _as_text(town: Sandbox) -> str:
    owned = format_usd(town.options.balance)
    facts = pairs(
        [
            ("BlockRun", f"{town.blockrun_url}   (x402; every wallet has ${owned} here)"),
            ("Sunra", f"{town.sunra_url}   (Authorization: Bearer {town.options.api_key})"),
            ("PomexAI", f"{town.pomex_url}   (the same key)"),
        ]
    )
    faults = textwrap.fill(", ".join(FAULTS), 76, initial_indent="  ", subsequent_indent="  ")
    return f"""\
{facts}

To point a daemon here, make a wallet for this alone, never one that owns money: what is signed
here is signed for the real USDC.

  (umask 077; openssl rand -hex 32 > {WALLET}; touch {CONFIG})

Put this into {CONFIG}:

{_config(town)}

And start it:

  {KEY_VARIABLE}={shlex.quote(town.options.api_key)} farebox serve --config {CONFIG}

To see misbehaviour, add ?fault=NAME to any URL, with one of these names:

{faults}

Ctrl-C stops it."""
