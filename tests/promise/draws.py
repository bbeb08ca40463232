"""What the state machine draws: caps, orders, how off the clocks are, and how an example is minded.

Amounts are mostly whole caps, so that whatever is wrongly given back lets something in that breaks
the promise at once.
"""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from tests.promise.buyer import Answer, Fate, Order
from tests.promise.model import ERROR_S

SCOPES: Final = ("all", "provider:shop", "client:a", "payee:0x20")
WINDOW_NAMES: Final = (
    *("outstanding", "hour", "outstanding", "hour", "outstanding", "hour", "day", "day"),
    *("week", "month", "total", "per_request"),
)
WALLS: Final = st.lists(
    st.tuples(st.sampled_from(SCOPES), st.sampled_from(WINDOW_NAMES)), min_size=1, max_size=2
)
CAPS: Final = st.sampled_from([60, 120, 90])
WHICH: Final = st.sampled_from([0, 0, 0, 1, 2, 5])
"""The how-manieth, from the newest back."""

LIVES_S: Final = st.sampled_from([300, 86_400, 1800, 15])
ORDERS: Final = st.builds(
    Order,
    st.sampled_from([60, 30, 20, 90, 120]),
    st.sampled_from([SCOPES, SCOPES, SCOPES[:1], SCOPES[:2], SCOPES[:3], (SCOPES[0], SCOPES[3])]),
    LIVES_S,
    st.sampled_from([Fate.LEAVES, Fate.LEAVES, Fate.UNREACHABLE, Fate.LINGERS]),
    st.booleans(),
)
RIGHT: Final = st.sampled_from([0, ERROR_S, -ERROR_S])
"""By how much a clock is off that is right."""

WRONG: Final = st.sampled_from([100_000, 4000, 100, -100, -4000, -100_000])
REBOOTS: Final = st.sampled_from([None, None, None, 0, ERROR_S, -ERROR_S, -4000, -100_000])
"""After a reboot the wall clock may come up late, but not early; None is a restart without one."""


@dataclass(frozen=True, slots=True)
class Temper:
    """How everybody is minded through one example, besides what the rules have them do.

    A hungry client asks for `hunger`, twice at once, after every step; a talkative seller says
    something else after each, beginning with answer `talk`; one that `takes` cashes at once; a
    `diligent` daemon asks the chain after every step.
    """

    hunger: Order | None = None
    talk: int | None = None
    takes: bool = False
    diligent: bool = False


HUNGER: Final = st.builds(
    Order, st.sampled_from([60, 30]), st.just(SCOPES), st.sampled_from([300, 86_400])
)
TEMPERS: Final = st.builds(
    Temper,
    HUNGER | st.none() | HUNGER,
    st.sampled_from([None, None, None, *range(len(Answer))]),
    st.booleans(),
    st.booleans(),
)
