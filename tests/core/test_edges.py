"""Edges that mutation runs found: payees' caps, what a thing is, prices of nothing."""

from typing import Any, ClassVar

import pytest

from proxy.core.clock import DAY_S, JUMP_S, Anchor, Clocks, SteadyClock
from proxy.core.config import PriceRule
from proxy.core.errors import Refusal
from proxy.core.ledger import DEATH_MARGIN_S, EVERYTHING, Evidence, Limit, State, admit
from proxy.core.money import Usd
from proxy.core.policy import all_limits, limits, payee_scope, table_price, thing
from tests.core.parts import config, route
from tests.core.test_ledger import Numbers

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
STRANGER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


class TestPayeesCaps:
    """Caps on what one address is paid."""

    CONFIG: ClassVar = config(
        payees=[
            {"address": PAYEE, "caps": {"hour": "2.00"}},
            {"address": "any", "caps": {"day": "3.00"}},
            {"address": OTHER, "caps": {"total": "4.00"}},
        ]
    )
    TOP: ClassVar = ("all", "per_request", 1)

    @pytest.mark.parametrize(
        ("pay_to", "more"),
        [
            (None, []),
            (PAYEE, [("hour", 2), ("day", 3)]),
            (PAYEE.upper().replace("X", "x"), [("hour", 2), ("day", 3)]),
            (OTHER.lower(), [("day", 3), ("total", 4)]),
            (STRANGER, [("day", 3)]),
        ],
    )
    def test_of_a_payment(self, pay_to: str | None, more: list[tuple[str, int]]) -> None:
        """Those of its own address in any case, and those of any, each in the address's scope."""
        found = limits(self.CONFIG, "pomex", route("/b"), None, pay_to)
        scope = f"payee:{(pay_to or '').lower()}"
        assert [(w.scope, w.window, w.usd / 10**6) for w in found] == [
            self.TOP,
            *((scope, window, usd) for window, usd in more),
        ]

    def test_all(self) -> None:
        """A page shows those of each address, and none of any, which has no scope of its own."""
        assert [(w.scope, w.window, w.usd / 10**6) for w in all_limits(self.CONFIG)] == [
            self.TOP,
            (payee_scope(PAYEE), "hour", 2),
            (payee_scope(OTHER), "total", 4),
        ]

    def test_scope(self) -> None:
        """An address counts in one scope, however it is written."""
        assert payee_scope(PAYEE) == payee_scope(PAYEE.upper()) == f"payee:{PAYEE.lower()}"


class TestThing:
    """What is bought, as far as its price goes."""

    CALL: ClassVar = ("POST", "/v1/videos", {"model": "m", "duration": 5})

    @pytest.mark.parametrize(
        "call",
        [
            ("GET", "/v1/videos", {"model": "m", "duration": 5}),
            ("POST", "/v1/images", {"model": "m", "duration": 5}),
            ("POST", "/v1/videos", {"model": "m", "duration": 6}),
            ("POST", "/v1/videos", {"model": "m", "duration": "5"}),
            ("POST", "/v1/videos", {"model": "n", "duration": 5}),
            ("POST", "/v1/videos", {"model": "m"}),
            ("POST", "/v1/videos", {"model": "m", "seconds": 5}),
            ("POST", "/v1/videos", {"model": "m", "duration": 5, "n": 1}),
        ],
    )
    def test_other_things(self, call: tuple[str, str, dict[str, Any]]) -> None:
        """Another method, path or priced field is another thing."""
        assert thing(*call) != thing(*self.CALL)

    @pytest.mark.parametrize(
        "fields",
        [
            {"duration": 5, "model": "m"},
            {"model": "m", "duration": 5, "prompt": "a cat"},
            {"model": "m", "duration": 5, "Model": "other"},
        ],
    )
    def test_same_thing(self, fields: dict[str, Any]) -> None:
        """The order of the fields, and those that no price goes by, make no difference."""
        assert thing("POST", "/v1/videos", fields) == thing(*self.CALL)

    @pytest.mark.parametrize(
        "name",
        [
            "duration_seconds", "duration", "seconds", "model", "n", "quality", "resolution",
            "size", "ratio", "aspect_ratio", "generate_audio", "max_tokens",
        ],
    )  # fmt: skip
    def test_every_field_that_sets_a_price(self, name: str) -> None:
        """Written out once more by hand: a change in any of these is another thing."""
        assert thing("POST", "/", {name: 1}) != thing("POST", "/", {name: 2})

    def test_order_within_a_field(self) -> None:
        """Nor does the order within a field that is itself an object."""
        one, two = {"w": 1, "h": 2}, {"h": 2, "w": 1}
        assert thing("POST", "/", {"size": one}) == thing("POST", "/", {"size": two})

    def test_half_a_character(self) -> None:
        """A lone surrogate, which JSON can hold and UTF-8 cannot, is a thing like any other."""
        assert len(thing("POST", "/\udcff", {"model": "\ud800"})) == 32


RULES = (
    PriceRule.model_validate({"model": "free-*", "usd_per_second": "0.00"}),
    PriceRule.model_validate({"model": "dear-*", "usd_per_second": "0.10"}),
)


def test_nothing_by_the_second() -> None:
    """A rate of nothing costs nothing, however long the call."""
    assert table_price(RULES, "/v1/x", "free-1", {"seconds": 3600}) == 0


def test_length_that_is_none_says_so() -> None:
    """The refusal says what is wrong with the call."""
    assert table_price(RULES, "/v1/x", "dear-1", {"seconds": "soon"}) == Refusal(
        "price_unknown",
        "the call is priced by the second: its length must be a whole number of seconds from 1"
        " to 3600 (-1, which leaves it to the model, has no price)",
    )


def test_model_without_a_price_is_named() -> None:
    """The refusal names the model, in ASCII."""
    assert table_price(RULES, "/v1/x", "caf\u00e9", {}) == Refusal(
        "price_unknown",
        "the price table has no entry for model 'caf\\xe9', so its cost cannot be capped",
    )


def test_words_that_stand_in_files() -> None:
    """A ledger's file holds these words: another spelling could not read what was written."""
    assert " ".join(State) == "reserved sent unknown settled void cancelled expired"
    assert " ".join(Evidence) == (
        "sent never_sent declined receipt no_receipt restart chain_used chain_cancelled"
        " chain_unused hand_settled hand_void"
    )


def test_margins() -> None:
    """Two jumps that just pass add up to no more than the margin after which a hold is dead."""
    assert (JUMP_S, DAY_S) == (30, 86_400)
    assert 2 * JUMP_S <= DEATH_MARGIN_S


def test_system_that_names_no_boot() -> None:
    """Without a boot's name no two runs are of one boot: the wall clock is all that there is."""
    before = SteadyClock(Clocks(lambda: 5000.0, lambda: 10.0), 0, None).anchor
    assert before.boot_id == ""
    after = SteadyClock(Clocks(lambda: 9000.0, lambda: 20.0), 0, before)
    assert (after.now(), after.jump_s()) == (9000, 0)


def test_refusal_for_everything_names_no_scope() -> None:
    """A cap over everything is told without a scope, and an empty one without what is in it."""
    cap = Limit(EVERYTHING, "day", Usd(0))
    refusal = admit([cap], Numbers(), Usd(10_000), 10**9)
    assert refusal is not None
    assert refusal.message == "0.01 USD does not fit under the day cap of 0.00 USD"


def test_time_does_not_fall_to_another_anchor() -> None:
    """Who knows of later times than the anchor that it follows goes on from its own."""
    now = [10.0]
    clock = SteadyClock(Clocks(lambda: 5000.0, lambda: now[0], "boot"), 9000, None)
    now[0] += 20
    clock.follow(Anchor("boot", now[0], 5020.0, 5020.0))
    assert clock.now() == 9020
