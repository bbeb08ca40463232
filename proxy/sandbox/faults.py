"""Misbehaviour on request: `?fault=NAME` on any path of any of the three providers.

The query also takes `fault_s` (seconds, for the faults that wait) and `fault_times` (only the first
so many requests of this method and path misbehave; without it all do). A name that a provider does
not know is a 400 that lists those it knows.

A generation at BlockRun is paid when a poll finds it done, so a fault of the settlement that is
asked for in the POST moves into the `poll_url`; `poll_fault=NAME` in the POST puts any other fault
there.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from aiohttp import web

BLOCKRUN: Final = "blockrun"
SUNRA: Final = "sunra"
POMEX: Final = "pomex"
_ALL: Final = frozenset({BLOCKRUN, SUNRA, POMEX})
_PAID: Final = frozenset({BLOCKRUN})


class Stage(Enum):
    """When in the life of a request a fault strikes."""

    DOOR = auto()
    """Before anything else."""
    ANY = auto()
    """At once; but where something is for sale, in place of the answer to a good payment."""
    OFFER = auto()
    """In the challenge."""
    PAID = auto()
    """After a good payment, before anything is taken."""
    SETTLE = auto()
    """Where the money moves."""
    BODY = auto()
    """While the answer is being written."""
    JOB = auto()
    """In the outcome of a generation."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave and the sentence that explains it."""

    stage: Stage
    providers: frozenset[str]
    tells: str


FAULTS: Final[dict[str, Fault]] = {
    "slow": Fault(Stage.DOOR, _ALL, "Every answer comes fault_s seconds late (1)."),
    "drop": Fault(Stage.ANY, _ALL, "Closes the connection without an answer."),
    "rate_limited": Fault(Stage.ANY, _ALL, "Too many requests (429, at Sunra 403); nothing taken."),
    "upstream_error": Fault(Stage.ANY, _ALL, "Answers 502; nothing taken."),
    "unavailable": Fault(Stage.ANY, _ALL, "Answers 503; nothing taken."),
    "gateway_timeout": Fault(Stage.ANY, _ALL, "Answers 504; nothing taken."),
    "bad_challenge": Fault(Stage.OFFER, _PAID, 'Asks for the amount "1e6".'),
    "wrong_domain": Fault(Stage.OFFER, _PAID, "Names an EIP-712 domain that is not the token's."),
    "new_payee": Fault(Stage.OFFER, _PAID, "Wants the money at another address."),
    "two_challenges": Fault(Stage.OFFER, _PAID, "Sends the challenge under two header names."),
    "no_challenge": Fault(Stage.OFFER, _PAID, "Answers 402 and does not say what to pay."),
    "second_402": Fault(Stage.PAID, _PAID, "Answers a good payment with a new 402; nothing taken."),
    "drop_before_settle": Fault(Stage.PAID, _PAID, "Takes nothing and closes the connection."),
    "upload_failed": Fault(Stage.PAID, _PAID, "Fails at the upload (502); nothing taken."),
    "stall": Fault(Stage.PAID, _PAID, "Answers a good payment fault_s seconds late (1)."),
    "absorbed": Fault(
        Stage.SETTLE, _PAID, "Settlement fails, the goods come anyway; nothing taken."
    ),
    "settle_false": Fault(Stage.SETTLE, _PAID, "Takes the money and says 402, success: false."),
    "settle_then_500": Fault(Stage.SETTLE, _PAID, "Takes the money, then answers 500."),
    "settle_then_drop": Fault(Stage.SETTLE, _PAID, "Takes the money and closes the connection."),
    "no_receipt": Fault(Stage.SETTLE, _PAID, "Takes the money and leaves every receipt out."),
    "overcharge_receipt": Fault(Stage.SETTLE, _PAID, "Claims ten times what it took."),
    "pending": Fault(Stage.SETTLE, _PAID, "Takes the money; 402, settlement_pending and a tx."),
    "replay_complaint": Fault(Stage.SETTLE, _PAID, "Takes the money; 402, nonce_already_used."),
    "reset_midstream": Fault(Stage.SETTLE, _PAID, "Takes the money; resets after half the body."),
    "trickle": Fault(
        Stage.BODY, frozenset({BLOCKRUN, SUNRA}), "Events come fault_s seconds apart (1)."
    ),
    "unsafe_content": Fault(Stage.JOB, _ALL, "The generation ends in a moderation error."),
    "job_failed": Fault(Stage.JOB, _ALL, "The generation fails; BlockRun takes nothing."),
}


class Faults:
    """Which fault a request asks for, and whether its turn is used up."""

    def __init__(self, provider: str) -> None:
        self.known = {name: f for name, f in FAULTS.items() if provider in f.providers}
        self._taken: Counter[tuple[str, str, str]] = Counter()

    def problem(self, request: web.Request) -> str | None:
        """What is wrong with the way a fault is asked for, or None."""
        for key in ("fault", "poll_fault"):
            name = request.query.get(key)
            if name is not None and name not in self.known:
                return f"unknown {key} {name!r}; known: {', '.join(sorted(self.known))}"
        try:
            wrong = not seconds(request) >= 0 or int(request.query.get("fault_times", "1")) < 0
        except ValueError:
            wrong = True
        return "fault_s and fault_times are numbers from 0 up" if wrong else None

    def take(self, request: web.Request, *stages: Stage) -> str | None:
        """The fault that strikes at one of these stages, its turn counted; None for none."""
        name = request.query.get("fault")
        if name is None or self.known[name].stage not in stages:
            return None
        turn = (request.method, request.path, name)
        if self._taken[turn] >= int(request.query.get("fault_times", self._taken[turn] + 1)):
            return None
        self._taken[turn] += 1
        return name

    def for_poll(self, request: web.Request) -> dict[str, str]:
        """The query that carries this POST's faults of the settlement to the polls of its job."""
        asked = request.query.get("fault")
        name = request.query.get("poll_fault")
        if name is None and asked and self.known[asked].stage is Stage.SETTLE:
            name = asked
        if name is None:
            return {}
        extras = {k: v for k, v in request.query.items() if k in {"fault_s", "fault_times"}}
        return {"fault": name, **extras}


def seconds(request: web.Request) -> float:
    """How long the faults that wait should wait."""
    return float(request.query.get("fault_s", "1"))
