"""`farebox portrait verify`: a real person shows their face to a phone, and is enrolled.

The provider's link is drawn as a QR code for the phone to read. While the person scans, the daemon
is asked how it goes; a link that has run out is replaced by a new one for the same person.
"""

import sys
import time
from collections.abc import Mapping
from io import StringIO
from typing import Any, Final, TextIO

import click
import segno

from proxy.cli.common import FAULT, Failure, Settings, emit, end, load, options
from proxy.cli.enrolling import enrol, provider_option
from proxy.cli.layout import local_time, printable, shown_command
from proxy.cli.progress import INTERRUPTED, line_of, watchers_stream
from proxy.cli.talk import Answer, Daemon, find_daemon, good, token_option
from proxy.core.paths import SESSIONS
from proxy.core.videos import segment

LOOK_S: Final = 3
"""How often the daemon is asked; the providers name three to five seconds."""

LINKS_MAX: Final = 20
"""So many links for one person: at two minutes each, somebody should have come by then."""

TROUBLES_MAX: Final = 40
"""So many looks in a row that brought nothing, two minutes of them."""

_PASSING: Final = (429, 500, 502, 503, 504)


@click.command()
@click.argument("name")
@click.option("--image", metavar="URL", help="The picture to enrol once the person is verified.")
@click.option("--lang", metavar="CODE", help="The language of the provider's page, where it asks.")
@click.option("--callback", metavar="URL", help="Your own https page for the provider to call.")
@provider_option
@token_option
@options
def verify(
    settings: Settings,
    name: str,
    image: str | None,
    lang: str | None,
    callback: str | None,
    provider: str | None,
    token: str | None,
) -> None:
    """Verify that NAME is a real person who agrees, and enrol a picture of theirs.

    Shows a QR code: the person opens it on a phone and lets their face be scanned. An expired link
    is replaced. Without --image the command ends when the person is verified. Ctrl-C ends the
    waiting only: the same command goes on where it stopped.
    """
    daemon = find_daemon(load(settings), token)
    asked = {"name": name, "lang": lang, "callback_url": callback}
    wanted = {key: value for key, value in asked.items() if value is not None}
    headers = {} if provider is None else {"Farebox-Provider": provider}
    session = good(daemon.post(SESSIONS, headers, wanted)).fields
    if "id" not in session:
        raise Failure("the provider gave no link to show: its answer has none")
    if callback is not None and session.get("status") != "verified":
        _present(settings, session)
        told = "the provider tells your --callback its group_id: `farebox portrait enroll --group`"
        emit(settings, session, f"Open the link on a phone; {told} goes on with it.")
        return
    try:
        session = _verified(settings, daemon, session, (headers, wanted))
    except KeyboardInterrupt:
        click.echo("Stopped waiting; the same command goes on from here.", err=True)
        end(INTERRUPTED)
    if image is None:
        emit(settings, session, _goes_on(session))
        return
    person = {"name": name, "image_url": image, "session": session["id"]}
    enrol(settings, daemon, person, headers)


def _verified(
    settings: Settings,
    daemon: Daemon,
    session: dict[str, Any],
    again: tuple[Mapping[str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    """Wait until the person has been verified, with as many links as that takes."""
    target = f"{SESSIONS}/{segment(str(session['id']))}"
    for _ in range(LINKS_MAX):
        if session.get("status") == "verified":
            return session
        _present(settings, session)
        session = _scanned(settings, daemon, target, session)
        if session.get("status") == "verified":
            return session
        _say(settings, _ended(session))
        session = good(daemon.post(SESSIONS, *again)).fields
    raise Failure(f"nobody was verified with {LINKS_MAX} links; the same command goes on", FAULT)


def _scanned(
    settings: Settings, daemon: Daemon, target: str, session: dict[str, Any]
) -> dict[str, Any]:
    """Look until a link has come to something: verified, failed or expired."""
    troubles = 0
    with line_of(settings, str(session.get("name", "")), time.time()) as line:
        while session.get("status") == "pending":
            line.wait(_waiting(session), LOOK_S)
            answer = daemon.ask("GET", target, {})
            if _is_passing(answer) and troubles < TROUBLES_MAX:
                troubles += 1
                continue
            session, troubles = good(answer).fields, 0
    return session


def _is_passing(answer: Answer) -> bool:
    return answer.status in _PASSING


def _waiting(session: Mapping[str, Any]) -> str:
    left_s = int(session.get("expires_at", 0)) - int(time.time())
    return f"waiting for the scan; the link lives {max(0, left_s)} s more"


def _present(settings: Settings, session: Mapping[str, Any]) -> None:
    """Show a link as a QR code and in writing; for programs on stderr, so that it can be seen."""
    link = str(session.get("h5_link", ""))
    stream = watchers_stream(settings) or sys.stderr
    code = qr_text(link, stream)
    until = local_time(int(session.get("expires_at", 0)))
    click.echo(f"{code}\nOpen this on a phone, until {until}:\n{printable(link)}", file=stream)


def qr_text(text: str, stream: TextIO) -> str:
    """A QR code in characters: half blocks where the stream can write them, else wide ones.

    What is dark in the code is left dark, as a terminal's ground is: light is painted.
    """
    drawn = StringIO()
    segno.make_qr(text, error="l").terminal(drawn, compact=_has_blocks(stream))
    return drawn.getvalue()


def _has_blocks(stream: TextIO) -> bool:
    try:
        "█▀▄".encode(stream.encoding or "ascii")
    except UnicodeError:
        return False
    return True


def _say(settings: Settings, text: str) -> None:
    click.echo(printable(text), file=watchers_stream(settings) or sys.stderr)


def _ended(session: Mapping[str, Any]) -> str:
    if session.get("status") == "failed":
        return f"The scan failed: {session.get('reason') or 'no reason given'}. Here is a new link."
    return "The link has expired. Here is a new one."


def _goes_on(session: Mapping[str, Any]) -> str:
    name, id_ = str(session.get("name")), str(session.get("id"))
    verified = printable(f"{name} is verified (group {session.get('group_id')}).")
    words = ("portrait", "enroll", name, "IMAGE_URL", "--session", id_)
    return f"{verified} {shown_command('farebox', *words)}"
