"""Making a provider's native call on behalf of a request of the common shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from proxy.core.errors import NO_ANSWER, Refused
from proxy.core.http import Headers, Reply
from proxy.payer import Purchase
from proxy.providers.lore import JsonObject, NativeCall
from proxy.visit import Visit


@dataclass(frozen=True, slots=True)
class Performed:
    """How a native call went: the provider's answer, whole, and the payment behind it.

    `fields` is the JSON object in `body`, empty where there is none; `reply` is the answer as a
    client's own native call would have got it.
    """

    status: int
    headers: Headers
    fields: JsonObject
    body: bytes
    reply: Reply
    purchase: Purchase | None = None


class Perform(Protocol):
    """Whoever makes native calls; errors are `Refused`."""

    async def __call__(self, visit: Visit, call: NativeCall) -> Performed:
        """Make a native call of the visit's provider; its ids are remembered when this returns."""
        ...


async def ask_after(
    perform: Perform, visit: Visit, call: NativeCall, between_s: Callable[[Headers], float]
) -> tuple[Performed | None, float]:
    """Ask a provider how something stands: its answer, and the seconds until one asks again.

    None for what says nothing of it: a limit, a fault, a connection that broke. `Refused` is the
    daemon's own no.
    """
    try:
        done = await perform(visit, call)
    except Refused as refused:
        if refused.refusal.code not in NO_ANSWER:
            raise
        return None, between_s(())
    pace_s = between_s(done.headers)
    return None if done.status in visit.lore.passing_statuses else done, pace_s
