"""`farebox jobs`: generations that outlive their request, listed from the ledger, or watched.

The daemon asks a provider after a job only while somebody waits for it. To watch is to wait: each
look is a GET of the job, at the pace that its answer sets, and who stops looking loses nothing.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from proxy.cli.books import reading
from proxy.cli.common import FAULT, FINE, Failure, Settings, emit, end, load, options
from proxy.cli.groups import DefaultGroup
from proxy.cli.layout import local_time, printable, shown_command, table
from proxy.cli.progress import INTERRUPTED, Line, line_of, pace_s
from proxy.cli.talk import Answer, Daemon, find_daemon, refused, token_option
from proxy.core.errors import NO_ANSWER
from proxy.core.paths import JOBS
from proxy.core.videos import segment
from proxy.store import views

if TYPE_CHECKING:
    from proxy.configfile import Loaded

TROUBLES_MAX: Final = 120
"""After so many looks in a row that brought nothing, ten minutes of them, a person should know."""

_DONE: Final = 200
_RUNNING: Final = 202
_PASSING_STATUSES: Final = (429, 504)
"""What a provider may answer to a look that says nothing about the job; so may `NO_ANSWER`."""

_FINAL_STATES: Final = ("completed", "failed")


@click.group(cls=DefaultGroup, default="list")
def jobs() -> None:
    """List generations (the default), or watch one until it is done."""


@jobs.command("list")
@click.option(
    "--limit", type=click.IntRange(1, views.PAGE_MAX), default=50, show_default=True, help="A page."
)
@options
def list_(settings: Settings, limit: int) -> None:
    """List jobs, newest first, with and without a running daemon; nobody is asked after them."""
    with reading(load(settings).state_dir) as db:
        found = views.jobs(db, limit=limit)
    emit(settings, found, _as_text(found["jobs"]))


@jobs.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option(
    "--provider", metavar="NAME", help="Whose job it is, where the ledger does not know it."
)
@token_option
@options
def watch(settings: Settings, id_: str | None, provider: str | None, token: str | None) -> None:
    """Watch a job until it is done; without an ID, the newest one that is not.

    Watching is what makes the daemon poll: it asks the provider only while somebody waits, and what
    is paid for when the job is done is paid for then. Ctrl-C ends the watching and not the job,
    which stays claimable.

    Exit codes: 0 it is completed, 1 it failed or there is no daemon, 3 a cap is in the way of
    paying for it anew, 130 Ctrl-C.
    """
    loaded = load(settings)
    known = _job(loaded, id_, provider)
    job = known or {"id": id_, **({} if provider is None else {"provider": provider})}
    daemon = find_daemon(loaded, token)
    try:
        with line_of(settings, job["id"], job.get("created_at", time.time())) as line:
            answer = _watched(daemon, job, line)
    except Failure as problem:
        if known is None:  # there may be no such job
            raise
        raise Failure(f"{problem.message}\n{_claimable(job)}", problem.exit_code) from None
    except KeyboardInterrupt:
        click.echo(f"Stopped watching. {_claimable(job)}", err=True)
        end(INTERRUPTED)
    state = answer.fields.get("status")
    emit(settings, {**job, "state": state, "result": answer.fields}, _outcome(job, answer))
    end(FINE if state == "completed" else FAULT)


def _as_text(found: list[dict[str, Any]]) -> str:
    if not found:
        return "No jobs yet."
    header = ("ID", "WHEN", "PROVIDER", "MODEL", "STATE", "PAYMENT")
    if not any("clip" in job for job in found):
        return table(header, map(_row, found))
    return table((*header, "CLIP"), ((*_row(job), _clip(job)) for job in found))


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    when, payment = local_time(job["created_at"]), job.get("payment", "")
    return job["id"], when, job["provider"], job["model"], _state(job), payment


def _clip(job: Mapping[str, Any]) -> str:
    """What became of a job's clip on this disk; why, stands in the JSON."""
    return str(job.get("clip", {}).get("state", ""))


def _state(job: Mapping[str, Any]) -> str:
    """The last known state, in the provider's word; before the first look there is none."""
    return job.get("state") or "not asked yet"


def _job(loaded: "Loaded", id_: str | None, provider: str | None) -> dict[str, Any] | None:
    """What the ledger knows of a job; of one that is not in it the daemon may know more."""
    with reading(loaded.state_dir) as db:
        every = views.jobs(db, limit=views.PAGE_MAX)["jobs"]
    own = (job for job in every if provider in (None, job["provider"]))
    found = next((job for job in own if (job["id"] == id_ if id_ else _is_open(job))), None)
    if found is None and not id_:
        raise Failure("there is nothing to watch: no job is unfinished (`farebox jobs` lists all)")
    return found


def _is_open(job: Mapping[str, Any]) -> bool:
    return "result" not in job and job["state"] not in _FINAL_STATES


def _watched(daemon: Daemon, job: Mapping[str, Any], line: Line) -> Answer:
    """Look again and again until the job is done: its final answer."""
    target = f"{JOBS}/{segment(job['id'])}"
    headers = {"Farebox-Provider": job["provider"]} if "provider" in job else {}
    state, troubles = _state(job), 0
    line.show(state)
    while True:
        answer = daemon.ask("GET", target, headers)
        if answer.status == _DONE:
            return answer
        if answer.status == _RUNNING:
            state, troubles = str(answer.fields.get("status") or state), 0
            news = state
        elif _is_passing(answer) and troubles < TROUBLES_MAX:
            troubles += 1
            news = f"{state} ({answer.code or answer.message}; it is asked again)"
        elif answer.code == "job_unknown":
            raise Failure(f"{answer.code}: {printable(answer.message)} (here: --provider)")
        else:
            raise refused(answer)
        line.wait(news, pace_s(answer))


def _is_passing(answer: Answer) -> bool:
    if answer.code:
        return answer.code in NO_ANSWER
    return answer.status in _PASSING_STATUSES


def _outcome(job: Mapping[str, Any], answer: Answer) -> str:
    """How it ended: where the clips are, or why there is none."""
    fields = answer.fields
    lines = [f"{job['id']} {fields.get('status') or 'ended, and does not say how'}"]
    if "error" in fields:
        lines[0] += f": {answer.message}"
    clips = fields.get("data")
    if isinstance(clips, list):
        lines += [f"  {clip['url']}" for clip in clips if isinstance(clip, dict) and "url" in clip]
    if "payment" in job:
        lines.append(f"  farebox payments show {job['payment']}")
    return "\n".join(map(printable, lines))


def _claimable(job: Mapping[str, Any]) -> str:
    return f"The job stays claimable: {shown_command('farebox', 'jobs', 'watch', job['id'])}"
