"""What a buyer heard of its ledger, and what the ledger must therefore hold later.

The programs of this package say each step before it is made and again once it has returned; whoever
listens knows what was asked for, what was promised, and what lies between.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from proxy.core.ledger import TRANSITIONS, Evidence, State, step
from tests.store.books import START

Say = Callable[..., None]
"""Takes a word and its details: `say("reserved", payment="pay_000001")`."""


def saying(word: str, **details: Any) -> str:
    """One step as a line."""
    return json.dumps({"word": word, **details})


@dataclass
class Sale:
    """A payment as its buyer knows it.

    `states` are those in which it may be found. It is in doubt if it was not promised and the
    ledger was opened again since: what was written of it may have been found then.
    """

    usd: int
    scopes: tuple[str, ...]
    valid_before: int
    promised: bool = False
    in_doubt: bool = False
    states: frozenset[State] = frozenset({State.RESERVED})
    before: frozenset[State] = frozenset({State.RESERVED})

    def claim(self, evidence: Evidence) -> None:
        """Evidence was given to the ledger: it may be there from now on."""
        self.before = self.states
        self.states |= _after(self.before, evidence)

    def proved(self, evidence: Evidence) -> None:
        """The ledger said that the evidence is recorded."""
        self.states = _after(self.before, evidence)

    def restarted(self) -> frozenset[State]:
        """In which states it may be found by a ledger that has just been opened."""
        return frozenset(
            step(state, Evidence.RESTART) if Evidence.RESTART in TRANSITIONS[state] else state
            for state in self.states
        )


@dataclass
class Heard:
    """Everything that was said up to some moment."""

    sales: dict[str, Sale] = field(default_factory=dict)
    now: int = START
    words: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Heard":
        """What some lines say."""
        heard = cls()
        for line in lines:
            heard.hear(line)
        return heard

    def hear(self, line: str) -> None:
        """Take in one more step."""
        said = json.loads(line)
        match said.pop("word"):
            case "asked":
                sale = Sale(said["usd"], tuple(said["scopes"]), said["valid_before"])
                self.sales[said["payment"]] = sale
            case "reserved":
                self.sales[said["payment"]].promised = True
            case "claimed":
                self.sales[said["payment"]].claim(Evidence(said["evidence"]))
            case "proved":
                self.sales[said["payment"]].proved(Evidence(said["evidence"]))
            case "opened":
                for sale in self.sales.values():
                    sale.in_doubt = not sale.promised
            case "time":
                self.now = said["now"]
            case other:
                self.words.append({"word": other, **said})

    def said(self, word: str) -> list[dict[str, Any]]:
        """The details of every step of some other word."""
        return [each for each in self.words if each["word"] == word]

    @property
    def promised(self) -> set[str]:
        """The payments whose reservation has returned."""
        return {payment for payment, sale in self.sales.items() if sale.promised}


def _after(states: Iterable[State], evidence: Evidence) -> frozenset[State]:
    return frozenset(step(state, evidence) for state in states)
