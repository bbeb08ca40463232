"""`farebox serve`: run the daemon until it is told to stop."""

import asyncio
import gc
import sqlite3

import click

from proxy.cli.common import WRONG, Failure, Settings, options


@click.command()
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much to log, to standard error.",
)
@options
def serve(settings: Settings, log_level: str) -> None:
    """Run the daemon on the config until SIGTERM; SIGHUP reads the config again."""
    import uvloop  # noqa: PLC0415 - what only the daemon needs is imported by it alone

    from proxy import app, logs  # noqa: PLC0415 - as above
    from proxy.configfile import ConfigError, find_config  # noqa: PLC0415 - as above
    from proxy.gate.sockets import DoorError  # noqa: PLC0415 - as above
    from proxy.statelock import StateDirTakenError  # noqa: PLC0415 - as above
    from proxy.store import SchemaError  # noqa: PLC0415 - as above

    logs.configure(log_level)
    # What is imported by now lives as long as the process: the collector need not look at it.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(app.serve(find_config(settings.config)))
    except ConfigError as error:
        raise Failure(f"the config cannot be used:\n{error}", WRONG) from None
    except (DoorError, StateDirTakenError, SchemaError) as error:
        raise Failure(str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise Failure(f"cannot start: {error}") from None
