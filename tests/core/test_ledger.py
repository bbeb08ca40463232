"""The ledger's rules by themselves: each transition, and admission over a book of numbers."""

from dataclasses import dataclass, field
from itertools import product

import pytest

from proxy.core.config import Caps
from proxy.core.errors import STATUS
from proxy.core.ledger import (
    CREDITED,
    DEATH_MARGIN_S,
    OPEN,
    WINDOWS,
    Evidence,
    Limit,
    State,
    admit,
    count,
    limits_of,
    step,
)
from proxy.core.money import Usd

E, S = Evidence, State
NOW = 1_000_000_000
R, T, U, D, V, C, X = (
    S.RESERVED, S.SENT, S.UNKNOWN, S.SETTLED, S.VOID, S.CANCELLED, S.EXPIRED,
)  # fmt: skip
N = None
TABLE = {
    # by us: sent, never sent, declined, receipt, none, restart; chain: used, cancelled, unused;
    # by hand: settled, void
    R: (T, V, V, D, U, U,    D, C, X,    N, N),
    T: (T, N, V, D, U, U,    D, C, X,    N, N),
    U: (U, N, N, D, U, N,    D, C, X,    D, V),
    D: (D, D, N, D, D, N,    D, C, X,    N, N),
    V: (V, V, N, D, V, N,    D, V, V,    N, N),
    C: (C, C, N, C, C, N,    D, C, C,    N, N),
    X: (X, X, N, X, X, N,    D, X, X,    N, N),
}  # fmt: skip
"""Written out once more by hand. None: no such thing can happen."""

COLUMNS = (
    E.SENT, E.NEVER_SENT, E.DECLINED, E.RECEIPT, E.NO_RECEIPT, E.RESTART,
    E.CHAIN_USED, E.CHAIN_CANCELLED, E.CHAIN_UNUSED, E.HAND_SETTLED, E.HAND_VOID,
)  # fmt: skip
SELLERS = {E.SENT, E.RECEIPT, E.NO_RECEIPT, E.RESTART}
"""What a seller can bring about, by words, silence or a crash."""


@pytest.mark.parametrize(("state", "evidence"), list(product(State, Evidence)))
def test_step(state: State, evidence: Evidence) -> None:
    """Each pair, as the table says."""
    after = TABLE[state][COLUMNS.index(evidence)]
    if after is None:
        with pytest.raises(KeyError):
            step(state, evidence)
    else:
        assert step(state, evidence) is after


def _reachable(start: State, evidence: set[Evidence]) -> set[State]:
    found = {start}
    for _ in State:
        found |= {
            after
            for state, each in product(found, evidence)
            if (after := TABLE[state][COLUMNS.index(each)]) is not None
        }
    return found


def test_nothing_that_left_comes_back() -> None:
    """Once something was sent nothing that a seller says or does frees it."""
    assert _reachable(T, SELLERS) == {T, U, D}
    assert OPEN | CREDITED | {D} == set(State)
    assert not OPEN & CREDITED


def test_what_takes_money_wins() -> None:
    """A nonce that was used on chain counts, whatever anybody has said before."""
    assert {row[COLUMNS.index(E.CHAIN_USED)] for row in TABLE.values()} == {D}


def test_only_proof_gives_back() -> None:
    """Out of what counts, into what does not: the ways are these and no others."""
    ways = {
        (state, evidence)
        for state, evidence in product(State, Evidence)
        if state not in CREDITED and TABLE[state][COLUMNS.index(evidence)] in CREDITED
    }
    chain = {E.CHAIN_CANCELLED, E.CHAIN_UNUSED}
    assert ways == set(product((R, T, U, D), chain)) | {
        (R, E.NEVER_SENT),
        (R, E.DECLINED),
        (T, E.DECLINED),
        (U, E.HAND_VOID),
    }


@dataclass
class Numbers:
    """A book of plain numbers, which notes what it is asked for."""

    alive: int = 0
    open: int = 0
    booked: int = 0
    frees: int | None = None
    dies: int | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    def held(self, scope: str) -> int:
        """What is alive."""
        self.asked.append(("held", scope))
        return self.alive

    def outstanding(self, scope: str) -> int:
        """What is alive and open."""
        self.asked.append(("outstanding", scope))
        return self.open

    def taken(self, scope: str, since: int | None) -> int:
        """What was booked."""
        self.asked.append(("taken", scope, since))
        return self.booked

    def frees_at(self, scope: str, since: int, excess: int) -> int | None:
        """When a window has room."""
        self.asked.append(("frees_at", scope, since, excess))
        return self.frees

    def dies_at(self, scope: str, excess: int) -> int | None:
        """When enough has died."""
        self.asked.append(("dies_at", scope, excess))
        return self.dies


def limit(window: str, usd: int, scope: str = "all") -> Limit:
    """One cap."""
    return Limit(scope, window, Usd(usd))


@pytest.mark.parametrize(
    ("window", "counted", "since"),
    [
        ("per_request", 0, ...), ("call", 0, ...), ("outstanding", 20, ...), ("total", 130, None),
        ("hour", 130, NOW - 3600), ("day", 130, NOW - 86_400), ("week", 130, NOW - 7 * 86_400),
        ("month", 130, NOW - 30 * 86_400),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["all", "client:a"])
def test_every_window_at_its_edge(window: str, counted: int, since: object, scope: str) -> None:
    """What counts in each window, and that exactly the rest of it fits."""
    book = Numbers(alive=30, open=20, booked=100)
    cap = limit(window, 150, scope)
    assert count(cap, book, NOW) == counted
    asked = [each for each in book.asked if each[0] == "taken"]
    assert asked == ([] if since is ... else [("taken", scope, since)])
    assert {each[1] for each in book.asked} <= {scope}
    assert admit([cap], book, Usd(150 - counted), NOW) is None
    refusal = admit([cap], book, Usd(151 - counted), NOW)
    assert refusal is not None
    assert refusal.code == f"cap_{window}" == cap.code
    assert STATUS[refusal.code] == (403 if window in ("per_request", "call", "total") else 429)


@pytest.mark.parametrize("window", [*WINDOWS, "total", "outstanding", "per_request", "call"])
def test_message(window: str) -> None:
    """The sentence names price, window, cap and scope, and what is in the way."""
    book = Numbers(alive=1_000_000, open=1_000_000)
    refusal = admit([limit(window, 1_500_000, "provider:p")], book, Usd(2_000_000), NOW)
    assert refusal is not None
    start = (
        f"2.00 USD does not fit under the {window.replace('_', ' ')} cap of 1.50 USD for provider:p"
    )
    end = "" if window in ("per_request", "call") else ": 1.00 USD is spent or could still be taken"
    assert refusal.message == start + end
    everything = admit([limit(window, 0)], Numbers(), Usd(1), NOW)
    assert everything is not None
    assert "USD for" not in everything.message


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("frees", [NOW - 3600 + 1, NOW - 10, NOW + 50, None])
def test_retry_after_of_a_window(window: str, frees: int | None) -> None:
    """The end of the window, counted from what must leave it; its whole length where unknown."""
    length = WINDOWS[window]
    book = Numbers(alive=100, booked=100, frees=frees)
    refusal = admit([limit(window, 150)], book, Usd(70), NOW)
    assert refusal is not None
    assert refusal.retry_after_s == (length if frees is None else max(1, frees + length - NOW))
    assert book.asked[-1] == ("frees_at", "all", NOW - length, 120)


@pytest.mark.parametrize(("dies", "wait"), [(NOW + 5, 5), (NOW, 1), (NOW - 9, 1), (None, 1)])
def test_retry_after_of_the_outstanding(dies: int | None, wait: int) -> None:
    """When enough of it is dead, and at least a second."""
    book = Numbers(open=100, dies=dies)
    refusal = admit([limit("outstanding", 150)], book, Usd(70), NOW)
    assert refusal is not None
    assert refusal.retry_after_s == wait
    assert book.asked[-1] == ("dies_at", "all", 20)


@pytest.mark.parametrize("window", ["per_request", "call", "total", *WINDOWS, "outstanding"])
def test_no_retry_where_waiting_is_no_use(window: str) -> None:
    """More than the cap itself never fits, and totals never roll."""
    refusal = admit([limit(window, 10)], Numbers(frees=NOW, dies=NOW), Usd(11), NOW)
    assert refusal is not None
    assert refusal.retry_after_s is None


def test_first_of_several() -> None:
    """The first cap in order that does not fit is told; no caps let everything in."""
    caps = [limit("day", 100), limit("hour", 5), limit("total", 1)]
    refusal = admit(caps, Numbers(), Usd(50), NOW)
    assert refusal is not None
    assert refusal.code == "cap_hour"
    assert admit([], Numbers(alive=10**18), Usd(10**18), NOW) is None


def test_limits_of_a_block() -> None:
    """Every key of a block of caps becomes a limit, and `none` becomes nothing."""
    names = ("per_request", *WINDOWS, "total", "outstanding")
    assert set(Caps.model_fields) == set(names)
    caps = Caps.model_validate(dict.fromkeys(names, "1.50"))
    assert limits_of("all", caps) == tuple(limit(name, 1_500_000) for name in names)
    assert limits_of("all", Caps.model_validate(dict.fromkeys(names, "none"))) == ()
    assert limits_of("all", Caps.model_validate({"hour": "0"})) == (limit("hour", 0),)


def test_margin() -> None:
    """Clocks disagree by less than this."""
    assert DEATH_MARGIN_S == 60
