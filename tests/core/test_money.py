"""Money: integers from end to end, and no number that is not plainly one."""

from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.money import (
    USD_MAX,
    format_units,
    format_usd,
    parse_amount,
    parse_usd,
    usd_of,
)

usd = st.integers(0, 10**18 - 1)
decimals = st.integers(0, 36)


@pytest.mark.parametrize(
    ("text", "millionths"),
    [
        ("0", 0), ("20", 20_000_000), ("0.5", 500_000), ("0.50", 500_000), ("0.000001", 1),
        ("1.000000", 1_000_000), ("999999999999.999999", 10**18 - 1),
    ],
)  # fmt: skip
def test_dollars(text: str, millionths: int) -> None:
    """Dollars with at most six decimals, as people write them."""
    assert parse_usd(text) == millionths


@pytest.mark.parametrize(
    "text",
    ["", " ", "00", "01", "1.", ".5", "-1", "+1", "1e3", "1,5", "1_000", "$1", "1 ", " 1", "1\n",
     "0.0000001", "1000000000000", "\u0661", "\uff11", "none", "nan", "inf", "0x1", "1.0.0"],
)  # fmt: skip
def test_no_dollars(text: str) -> None:
    """Anything else is no sum of dollars."""
    assert parse_usd(text) is None


@given(usd)
def test_dollars_round_trip(millionths: int) -> None:
    """What is written is read back, and the same as a decimal calculation gives."""
    text = format_usd(millionths)
    assert parse_usd(text) == millionths
    assert Decimal(text) == Decimal(millionths).scaleb(-6)
    assert len(text.split(".")[1]) >= 2


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{0,3}\.?[0-9]{0,8}"))
def test_dollars_of_any_text(text: str) -> None:
    """Whatever is read at all is an integer, and what the decimal system says."""
    found = parse_usd(text)
    assert found is None or (type(found) is int and Decimal(text).scaleb(6) == found)


@given(st.integers(1, 2**256 - 1))
def test_amount_round_trip(amount: int) -> None:
    """Every uint256 above zero is an amount."""
    assert parse_amount(str(amount)) == amount


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.lists(st.text()))
def test_amount_is_text(thing: Any) -> None:
    """What is no string is no amount, whatever number it is."""
    assert parse_amount(thing) is None


@given(st.text(max_size=80))
def test_amount_of_any_text(text: str) -> None:
    """Nothing but ASCII digits is an amount."""
    found = parse_amount(text)
    assert found is None or (text.isascii() and text.isdigit() and found == int(text))


@given(st.integers(0, 2**256), decimals)
def test_dollars_of_an_amount(amount: int, places: int) -> None:
    """An amount is worth its exact dollars, rounded up, and never past what can be counted."""
    with localcontext() as exact:
        exact.prec = 200
        worth = (Decimal(amount).scaleb(6 - places)).to_integral_value(ROUND_CEILING)
    found = usd_of(amount, places)
    assert type(found) is int
    assert found == min(int(worth), USD_MAX)
    assert (found == 0) is (amount == 0)


@given(st.integers(0, 2**256), decimals)
def test_units_round_trip(amount: int, places: int) -> None:
    """An amount as a decimal number means the same, and has no zeros at its end."""
    text = format_units(amount, places)
    with localcontext() as exact:
        exact.prec = 200
        assert Decimal(text).scaleb(places) == amount
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("amount", "places", "text"),
    [
        (500_000, 6, "0.5"),
        (0, 6, "0"),
        (1, 6, "0.000001"),
        (10**6, 6, "1"),
        (7, 0, "7"),
        (0, 0, "0"),
    ],
)
def test_units(amount: int, places: int, text: str) -> None:
    """As a screen shows them."""
    assert format_units(amount, places) == text


@pytest.mark.parametrize(
    ("millionths", "text"),
    [
        (0, "0.00"),
        (500_000, "0.50"),
        (12_000_000, "12.00"),
        (12_500, "0.0125"),
        (-1_500_000, "-1.50"),
    ],
)
def test_dollars_on_a_screen(millionths: int, text: str) -> None:
    """At least two decimals, and a minus where it is due."""
    assert format_usd(millionths) == text
