"""How the tests speak to the two providers that want a key."""

from typing import Any

from tests.sandbox.buyer import Answer, Buyer

KEY = {"Authorization": "Bearer sk-sandbox"}


async def sunra(buyer: Buyer, method: str, path: str, body: Any = None) -> Answer:
    """One call to Sunra with the right key; an absolute URL is called as it is."""
    url = path if path.startswith("http") else buyer.town.sunra_url + path
    return await buyer.call(method, url, body, KEY)


async def pomex(buyer: Buyer, method: str, path: str, body: Any = None) -> Answer:
    """One call to PomexAI with the right key."""
    return await buyer.call(method, buyer.town.pomex_url + path, body, KEY)
