"""`farebox doctor`: everything that can be found out for free and without changing anything."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from proxy.cli import checkup, ledger_checkup, online_checkup
from proxy.cli.check import read_whole
from proxy.cli.checkup import FAIL, OK, WARN, Finding
from proxy.cli.common import FAULT, Settings, emit, end, options
from proxy.cli.hello import ask
from proxy.cli.layout import printable

if TYPE_CHECKING:
    from proxy.configfile import Loaded

_SHOWN = {OK: "ok  ", WARN: "warn", FAIL: "FAIL"}


@click.command()
@click.option("--online", is_flag=True, help="Ask each rpc_url for its chain too.")
@options
def doctor(settings: Settings, *, online: bool) -> None:
    """Look for all that may be wrong. It works offline, pays nothing and changes nothing."""
    findings = list(_findings(settings, online=online))
    ok = all(finding.verdict != FAIL for finding in findings)
    answer = {"ok": ok, "checks": [_as_json(finding) for finding in findings]}
    emit(settings, answer, _as_text(findings))
    if not ok:
        end(FAULT)


def _findings(settings: Settings, *, online: bool) -> Iterator[Finding]:
    path, loaded, problems = read_whole(settings)
    yield from checkup.signing()
    yield from checkup.config(path, loaded, problems)
    if loaded is None:
        return
    yield from _machine(loaded)
    yield from ledger_checkup.ledger(loaded)
    yield from checkup.caps(loaded.config)
    yield from checkup.prices(loaded.config)
    yield from checkup.chains(loaded.config)
    if online:
        yield from online_checkup.online(loaded.config)


def _machine(loaded: "Loaded") -> Iterator[Finding]:
    running, said = ask(loaded)
    wallet = said.get("wallet")
    yield from checkup.wallet(loaded, wallet if isinstance(wallet, str) else None)
    yield from checkup.files(loaded, running)
    yield from checkup.state_dir(loaded)
    yield from checkup.daemon(loaded, running)


def _as_json(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if value}


def _as_text(findings: list[Finding]) -> str:
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        head = f"{_SHOWN[finding.verdict]}  {finding.check.ljust(width)}"
        lines.append(f"{head}  {printable(finding.message)}")
        if finding.todo:
            lines.append(f"{' ' * len(head)}  -> {printable(finding.todo)}")
    bad = [sum(f.verdict == verdict for f in findings) for verdict in (FAIL, WARN)]
    lines.append(f"\n{bad[0]} failed, {bad[1]} to look at, {len(findings) - sum(bad)} fine.")
    return "\n".join(lines)
