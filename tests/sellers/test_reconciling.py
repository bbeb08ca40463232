"""With a node to ask, what a seller left open is found out from the chain."""

import asyncio

from tests.rig.chain import NETWORK, Chain
from tests.rig.hostile import HostileSeller
from tests.rig.process import deadline
from tests.sellers.conftest import Start


async def test_chain_says_taken(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """A payment whose seller hung up is settled in the books once the chain says so."""
    networks = {NETWORK: {"rpc_url": chain.rpc_url}}
    daemon = await farebox({"shop": hostile_seller.url}, more={"networks": networks})
    answer = await daemon.ask("GET", "/shop/settle_then_drop")
    assert answer.error == "payment_outcome_unknown"
    for _ in deadline(30):
        (payment,) = await daemon.payments()
        if payment["state"] == "settled":
            break
        await asyncio.sleep(0.2)
    assert payment["id"] == answer.json["error"]["payment"]
