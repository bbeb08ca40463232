"""With a node to ask, what a seller left open is found out from the chain."""

import asyncio

from tests.rig.chain import NETWORK, Chain
from tests.rig.hostile import HostileSeller
from tests.sellers.conftest import Start

SAFE_DEPTH = 32


async def test_chain_says_taken(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """A payment whose seller hung up is settled, with its transaction, once it is safe."""
    networks = {NETWORK: {"rpc_url": chain.rpc_url}}
    daemon = await farebox({"shop": hostile_seller.url}, more={"networks": networks})
    answer = await daemon.ask("GET", "/shop/settle_then_drop")
    assert answer.error == "payment_outcome_unknown"
    await asyncio.to_thread(chain.rpc, "anvil_mine", hex(SAFE_DEPTH))
    await daemon.stop()
    await daemon.start()  # it looks at once, and then every quarter of a minute
    (payment,) = await daemon.in_state("settled")
    assert payment["id"] == answer.json["error"]["payment"]
    transfer = {"address": chain.token, "fromBlock": "0x0"}
    transactions = {entry["transactionHash"] for entry in chain.rpc("eth_getLogs", transfer)}
    assert payment["tx"] in transactions
