"""What a case of the table is made of."""

from dataclasses import dataclass
from typing import Literal

Pay = Literal["no", "x402", "again", "table"]
"""How a call is paid: not; after a 402; with the payment of its job; by the price table."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call and its answer. `call` is the method and the path that a client asks the daemon for.

    `{origin}` in an answer is the provider's origin as it leaves the provider, and the daemon's as
    it reaches the client. `code` is the daemon's own word about the answer, `state` what becomes of
    its payment; `sent` are headers of the client's, `headers` those of the answer.
    """

    call: str
    answer: str
    status: str = "200 OK"
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    sent: tuple[tuple[str, str], ...] = ()
    pay: Pay = "no"
    state: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One example of one section; `name` says which."""

    provider: str
    section: str
    name: str
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """How the test is called."""
        return f"{self.provider}: {self.section}: {self.name}"
