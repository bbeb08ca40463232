"""The command line: one file a command, and only the one that is asked for gets imported.

Exit codes are 0 fine, 1 fault, 2 wrong usage or bad config, 3 refused by a cap, 130 Ctrl-C.
"""

import importlib
import sys
from typing import Any, Final

import click

from proxy import __version__
from proxy.cli.common import Failure

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("proxy.cli.serve:serve", "Run the daemon."),
    "init": ("proxy.cli.init:init", "Make a wallet and a config; never overwrite either."),
    "check": ("proxy.cli.check:check", "Check the config; explain where a request would go."),
    "doctor": ("proxy.cli.doctor:doctor", "Look for all that may be wrong; change nothing."),
    "demo": ("proxy.cli.demo:demo", "See it pay, on a sandbox, with a throw-away wallet."),
    "sandbox": ("proxy.cli.sandbox:sandbox", "Serve miniature providers on this machine."),
    "status": ("proxy.cli.status:status", "Show caps, spending and the state of the daemon."),
    "payments": ("proxy.cli.payments:payments", "List, show, export or resolve payments."),
    "jobs": ("proxy.cli.jobs:jobs", "List generations, or watch one until it is done."),
    "portrait": ("proxy.cli.portrait:portrait", "List, enrol or delete portraits; verify people."),
    "quote": ("proxy.cli.quote:quote", "Show what a call would cost, without paying."),
    "payees": ("proxy.cli.payees:payees", "List, accept or forget whom providers have paid."),
    "wallet": ("proxy.cli.wallet:wallet", "Show the wallet's address, or unfreeze it."),
    "pause": ("proxy.cli.pause:pause", "Stop paying, until resumed."),
    "resume": ("proxy.cli.pause:resume", "Pay again."),
    "version": ("proxy.cli.version:version", "Print the version."),
}
"""Each command's name, where it lives, and the line about it in the help."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and none of them for its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{name} is no command")
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run a command to the last byte that it prints; a machine that is in its way is named."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except BrokenPipeError:  # whoever read has seen enough: click ends without a word
            raise
        except OSError as problem:
            where = "" if problem.filename is None else f"{problem.filename}: "
            raise Failure(f"{where}{problem.strerror or problem}") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the commands' lines from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, name="farebox", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--config", metavar="FILE", help="The config file; may stand after the command too.")
@click.option("--json/--text", "as_json", default=None, help="For programs, or for people.")
@click.version_option(__version__, message="%(prog)s %(version)s", help="Print the version.")
def main(**_options: object) -> None:
    """Pay HTTP 402 for every tool on this machine, and never more than you allow."""
    # The options are read from the context, where a command's own come first.
