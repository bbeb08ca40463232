"""Enrolling a portrait, as several commands do it: make the call, wait until it is ready, tell."""

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from proxy.cli.common import FAULT, FINE, Settings, emit, end
from proxy.cli.layout import printable, shown_command
from proxy.cli.progress import INTERRUPTED, line_of, pace_s
from proxy.cli.talk import Daemon, good
from proxy.core.paths import ENROL, PORTRAITS
from proxy.core.videos import segment

_NOT_YET: Final = "processing"

provider_option = click.option(
    "--provider", metavar="NAME", help="Whose portrait it is to be; else the config decides."
)


def enrol(
    settings: Settings, daemon: Daemon, wanted: Mapping[str, Any], headers: Mapping[str, str]
) -> None:
    """Enrol, wait until it is ready or has failed, tell of it and end."""
    name = str(wanted["name"])
    asked = {**headers, "Prefer": "respond-async"}
    answer = good(daemon.post(ENROL, asked, wanted))
    paid, fields = answer.headers.get("Farebox-Payment"), answer.fields
    # By its id: that is this portrait, whatever becomes of the name in between.
    id_ = str(fields.get("asset_id") or name)
    try:
        with line_of(settings, name, time.time()) as line:
            while fields.get("status") == _NOT_YET:
                line.wait(_NOT_YET, pace_s(answer))
                answer = good(daemon.ask("GET", path_of(id_), {}))
                fields = {**fields, **_news(answer.fields)}
    except KeyboardInterrupt:
        again = shown_command("farebox", "portrait", "show", id_)
        click.echo(f"Stopped waiting; it goes on: {again}", err=True)
        end(INTERRUPTED)
    failed = fields.get("status") == "failed"
    emit(settings, fields, _enrolled(fields, paid, failed=failed))
    end(FAULT if failed else FINE)


def _news(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a look at a portrait changes in the answer to its enrolment."""
    return {
        key: fields[key] for key in ("status", "group_id", "provider_response") if key in fields
    }


def path_of(name: str) -> str:
    """Where a portrait is asked for, by its name or id."""
    return f"{PORTRAITS}/{segment(name)}"


def _enrolled(fields: Mapping[str, Any], paid: str | None, *, failed: bool) -> str:
    name, id_ = str(fields.get("name", "")), str(fields.get("asset_id", ""))
    if failed:
        return printable(f"{name} failed: the provider could not use the picture ({id_})")
    lines = [f"{name} is {id_}"]
    usage = fields.get("usage")
    models = usage.get("compatible_models") if isinstance(usage, dict) else None
    if isinstance(models, list):
        lines.append(f"  for {', '.join(map(str, models))}")
    lines.append(f'  in a video request: "portrait": "{name}"')
    if paid:
        lines.append(f"  paid: {paid}")
    return "\n".join(map(printable, lines))
