"""`farebox version`."""

import click

from proxy import __version__
from proxy.cli.common import Settings, emit, options


@click.command
@options
def version(settings: Settings) -> None:
    """Print the version."""
    emit(settings, {"version": __version__}, f"farebox {__version__}")
