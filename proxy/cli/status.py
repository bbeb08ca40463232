"""`farebox status`: is it running, what may it spend, and what did it spend."""

import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from proxy import __version__
from proxy.cli.books import NOTHING_YET, as_of, is_there, job_to_watch, ledger_now, reading
from proxy.cli.common import Failure, Settings, emit, load, options
from proxy.cli.hello import Running, ask
from proxy.cli.layout import dollars, local_time, pairs, printable, shown_command, table
from proxy.cli.wallet import address_of
from proxy.core.ledger import State
from proxy.core.money import format_usd
from proxy.core.policy import all_limits
from proxy.store import onchain, switch, views
from proxy.store.alerts import alerts

if TYPE_CHECKING:
    from proxy.configfile import Loaded

UNKNOWN_SHOWN_MAX: Final = 20


@click.command()
@options
def status(settings: Settings) -> None:
    """Show the wallet, the daemon, the caps and what was spent; with or without a daemon."""
    loaded = load(settings)
    daemon, wallet, problem = _who_pays(loaded)
    with reading(loaded.state_dir) as db, as_of(db, now := ledger_now(db)) as current:
        found = {
            "alerts": [asdict(alert) for alert in alerts(current, now)],
            "version": __version__,
            "daemon": asdict(daemon),
            "wallet": wallet,
            **({"wallet_problem": problem} if problem else {}),
            **_book(current, loaded, now),
            "wallet_frozen": wallet is not None and bool(onchain.frozen(current, wallet)),
            "config": {"path": str(loaded.path), "hash": loaded.digest},
            "state_dir": str(loaded.state_dir),
        }
        job = job_to_watch(current)
    emit(settings, found, _as_text(found, job))


def _book(db: sqlite3.Connection, loaded: "Loaded", now: int) -> dict[str, Any]:
    reason = _why_paused(db, loaded)
    unknown = views.payments(db, limit=UNKNOWN_SHOWN_MAX, state=State.UNKNOWN)
    return {
        "paused": reason is not None,
        "pause_reason": reason or None,
        "caps": views.caps(db, all_limits(loaded.config), now),
        "payments": views.counts(db),
        "spent": format_usd(views.spent(db)),
        "unknown": unknown["payments"],
    }


def _why_paused(db: sqlite3.Connection, loaded: "Loaded") -> str | None:
    """The reason, be it in the ledger or about to get there; None where paying is not paused."""
    reason = switch.paused(db)
    if reason is None and is_there(loaded.state_dir / switch.FILE):
        return f"the file {switch.FILE} is there"
    if reason is None and loaded.config.paused is not False:
        return "the config says so"
    return reason


def _who_pays(loaded: "Loaded") -> tuple[Running, str | None, str | None]:
    """The daemon, the wallet's address, and why that cannot be said if it cannot.

    A running daemon is asked for the address: the key is then not touched.
    """
    daemon, said = ask(loaded)
    if daemon.running and isinstance(said.get("wallet"), str):
        return daemon, str(said["wallet"]), None
    try:
        return daemon, address_of(loaded), None
    except Failure as problem:
        return daemon, None, problem.message


def _as_text(found: dict[str, Any], job: str | None) -> str:
    parts = [pairs(_facts(found)), _caps(found["caps"]), _counts(found)]
    if found["alerts"]:
        parts.insert(0, "\n".join(map(_alert, found["alerts"])))
    if found["unknown"]:
        parts.append(_unknown(found["unknown"], job))
    return "\n\n".join(parts)


def _alert(alert: dict[str, Any]) -> str:
    since = local_time(alert["since"])
    return f"ALERT {alert['code']} since {since}: {printable(alert['message'])}"


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    daemon = found["daemon"]
    paying = "NO, the wallet is frozen" if found["wallet_frozen"] else "yes"
    if found["paused"]:
        reason = f": {found['pause_reason']}" if found["pause_reason"] else ""
        paying = f"NO, paused{reason}"
    return [
        ("daemon", f"running at {daemon['address']}" if daemon["running"] else "not running"),
        ("wallet", found["wallet"] or found.get("wallet_problem") or "none configured"),
        ("paying", paying),
        ("config", found["config"]["path"]),
        ("ledger", found["state_dir"]),
    ]


def _caps(caps: list[dict[str, str]]) -> str:
    if not caps:
        return "No caps: every limit in the config is none."
    rows = [
        (
            "everything" if cap["scope"] == "all" else cap["scope"],
            cap["window"].replace("_", " "),
            dollars(cap["limit"]),
            *_use(cap),
        )
        for cap in caps
    ]
    return table(("CAP", "WINDOW", "LIMIT", "SPENT", "LIVE", "FREE"), rows, right=[2, 3, 4, 5])


def _use(cap: dict[str, str]) -> tuple[str, ...]:
    """How full a cap is, where it fills: one that looks at a single request never does."""
    if cap["window"] == "per_request":
        return "", "", ""
    return dollars(cap["settled"]), dollars(cap["live"]), dollars(cap["free"])


def _counts(found: dict[str, Any]) -> str:
    counts = {state: n for state, n in found["payments"].items() if n}
    if not counts:
        return NOTHING_YET
    listed = ", ".join(f"{n} {state}" for state, n in counts.items())
    return f"Payments: {listed}; {dollars(found['spent'])} settled in all."


def _unknown(payments: list[dict[str, Any]], job: str | None) -> str:
    rows = [
        (p["id"], local_time(p["created_at"]), dollars(p["usd"]), p["provider"], p.get("note", ""))
        for p in payments
    ]
    watch = "" if job is None else f"{_watch(job)}\n"
    return (
        "UNKNOWN: these were signed and sent, and no receipt came back. They count as spent.\n"
        f"{watch}If you know better: farebox payments resolve ID\n"
        + table(("ID", "WHEN", "AMOUNT", "PROVIDER", "WHY"), rows, right=[2])
    )


def _watch(job: str) -> str:
    return f"Where it is a job's, look first: {shown_command('farebox', 'jobs', 'watch', job)}"
