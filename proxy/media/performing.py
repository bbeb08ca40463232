"""Making a provider's native call on behalf of a request of the common shape."""

from dataclasses import dataclass
from typing import Protocol

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
