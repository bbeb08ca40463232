"""How a command speaks to the running daemon, as one of its clients."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from proxy.cli.common import FAULT, REFUSED, WRONG, Failure
from proxy.cli.hello import ask
from proxy.cli.layout import printable
from proxy.core.config_values import parse_listen

if TYPE_CHECKING:
    from proxy.configfile import Loaded

SPARE_S: Final = 10.0
"""What the daemon gets on top of its provider's own deadline."""

ANSWER_BYTES_MAX: Final = 1 << 22
"""More than the daemon says of a price or of a job, and nothing to fill the memory with."""

_GOOD: Final = (200, 202)

token_option = click.option(
    "--token",
    envvar="FAREBOX_TOKEN",
    show_envvar=True,
    metavar="TOKEN",
    help="A client's token, for a daemon that has clients; others see it on a command line.",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered; `fields` is the JSON object in the body, empty if there is none."""

    status: int
    headers: http.client.HTTPMessage
    fields: dict[str, Any]

    @property
    def code(self) -> str:
        """Why the daemon itself refused; empty for an answer that is no refusal of its own."""
        return str(self.headers.get("Farebox-Error", ""))

    @property
    def message(self) -> str:
        """What an error says, the daemon's own or a provider's."""
        error = self.fields.get("error")
        said = error.get("message") if isinstance(error, dict) else error
        return said if isinstance(said, str) else f"HTTP status {self.status}"


@dataclass(frozen=True, slots=True)
class Daemon:
    """The running daemon, as one of its clients speaks to it."""

    address: str
    deadline_s: float
    token: str | None = field(default=None, repr=False)

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Ask once, on a connection of its own; `Failure` if there is no answer, or no entrance."""
        own = {} if self.token is None else {"Farebox-Token": self.token}
        answer = self._answered(method, target, {**headers, **own}, body)
        if answer.code == "client_token":
            raise Failure(f"{answer.message} (here: --token, or FAREBOX_TOKEN)")
        return answer

    def post(self, target: str, headers: Mapping[str, str], document: Mapping[str, Any]) -> Answer:
        """Post a JSON object; as `ask`."""
        typed = {"Content-Type": "application/json", **headers}
        return self.ask("POST", target, typed, json.dumps(document).encode())

    def _answered(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        connection = http.client.HTTPConnection("localhost", timeout=self.deadline_s)
        try:
            connection.sock = self._connected()
            connection.request(method, target, body, headers)
            said = connection.getresponse()
            return Answer(said.status, said.headers, _fields(said.read(ANSWER_BYTES_MAX)))
        except (ValueError, http.client.InvalidURL):  # its text would quote the token
            message = "this cannot be sent: write method, path, provider and token in plain ASCII"
            raise Failure(message, WRONG) from None
        except (OSError, http.client.HTTPException) as problem:
            reason = type(problem).__name__
            raise Failure(f"the daemon at {self.address} gave no answer ({reason})") from None
        finally:
            connection.close()

    def _connected(self) -> socket.socket:
        where = parse_listen(self.address.removeprefix("http://"))
        if isinstance(where, tuple):
            return socket.create_connection(where, self.deadline_s)
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(self.deadline_s)
        connected.connect(where)
        return connected


def find_daemon(loaded: "Loaded", token: str | None) -> Daemon:
    """The daemon that runs on a config; the token is shown only where clients are configured."""
    address = ask(loaded)[0].address
    if address is None:
        raise Failure(f"no daemon runs on {loaded.path}: `farebox serve` starts it")
    config = loaded.config
    waits = (each.connect_timeout_s + each.read_timeout_s for each in config.providers.values())
    return Daemon(address, max(waits) + SPARE_S, token if config.clients else None)


def good(answer: Answer) -> Answer:
    """An answer that is no refusal; else the command ends with its reason."""
    if answer.status not in _GOOD:
        raise refused(answer)
    return answer


def refused(answer: Answer) -> Failure:
    """Why there is no more to be heard: a refusal of the daemon's, or a provider's own error."""
    who = f"{answer.code}: " if answer.code else f"the provider answers {answer.status}: "
    code = REFUSED if answer.code.startswith("cap_") else FAULT
    return Failure(who + printable(answer.message), code)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
