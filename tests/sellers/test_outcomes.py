"""What a seller does, what the client is told, what the ledger says, what the chain makes of it.

One table, to be read beside the document of the ledger's states. Each line is one purchase.
"""

import pytest

from tests.rig.chain import NETWORK, Chain
from tests.rig.hostile import PRICE, HostileSeller
from tests.sellers.conftest import Start
from tests.sellers.daemon import Daemon

SAFE_DEPTH = 32
"""How far the chain's safe block is behind its newest."""

LOST = (502, "payment_outcome_unknown")
REJECTED = (402, "payment_rejected")
FINE = (200, None)

OUTCOMES = [
    # what the seller does            the client's answer   the ledger   the chain, asked
    ("deliver",                       FINE,                 "settled",   "used"),
    ("odd_headers",                   FINE,                 "settled",   "used"),
    ("no_receipt",                    FINE,                 "unknown",   "used"),
    ("receipt_garbage",               FINE,                 "unknown",   "used"),
    ("receipt_of_another",            FINE,                 "unknown",   "used"),
    ("receipt_claims_more",           FINE,                 "unknown",   "used"),
    ("settle_then_500",               (500, None),          "unknown",   "used"),
    ("settle_then_drop",              LOST,                 "unknown",   "used"),
    ("settle_then_stall",             LOST,                 "unknown",   "used"),
    ("repeat_402_settled",            REJECTED,             "unknown",   "used"),
    ("replay_complaint",              REJECTED,             "unknown",   "used"),
    ("success_false_but_settled",     REJECTED,             "unknown",   "used"),
    ("redirect_after_payment",        (307, None),          "unknown",   "unused"),
    ("drop_before_answer",            LOST,                 "unknown",   "unused"),
    ("stall",                         LOST,                 "unknown",   "unused"),
    ("repeat_402_unsettled",          REJECTED,             "unknown",   "unused"),
    ("settlement_pending",            REJECTED,             "unknown",   "unused"),
    ("overcharge",                    REJECTED,             "unknown",   "unused"),
    ("other_payee",                   REJECTED,             "unknown",   "unused"),
]  # fmt: skip


@pytest.mark.parametrize(("vice", "told", "state", "on_chain"), OUTCOMES)
async def test_without_a_node(
    farebox: Start,
    chain: Chain,
    hostile_seller: HostileSeller,
    vice: str,
    told: tuple[int, str | None],
    state: str,
    on_chain: str,
) -> None:
    """The client is told what is so, and the books say what is known."""
    daemon = await farebox({"shop": hostile_seller.url}, provider={"read_timeout_s": 1})
    answer = await daemon.ask("POST", f"/shop/{vice}", data=b"x")
    assert (answer.status, answer.error) == told
    (payment,) = await daemon.in_state(state)
    (authorization,) = payment["authorizations"]
    used = chain.authorization_used(daemon.payer.address, authorization["nonce"])
    assert used is (on_chain == "used")
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * used


async def test_with_a_node(farebox: Start, chain: Chain, hostile_seller: HostileSeller) -> None:
    """The books say what is so, once it is safe; what is unused and alive stays open."""
    networks = {NETWORK: {"rpc_url": chain.rpc_url}}
    daemon = await farebox(
        {"shop": hostile_seller.url}, provider={"read_timeout_s": 1}, more={"networks": networks}
    )
    for vice, *_ in OUTCOMES:
        await daemon.ask("POST", f"/shop/{vice}", data=b"x")
    known = await _states(daemon)
    assert known == {vice: state for vice, _, state, _ in OUTCOMES}
    chain.rpc("anvil_mine", hex(SAFE_DEPTH))
    await daemon.stop()
    await daemon.start()  # it looks at once
    used = [vice for vice, *_, on_chain in OUTCOMES if on_chain == "used"]
    await daemon.in_state("settled", len(used))
    assert await _states(daemon) == {
        vice: "settled" if vice in used else "unknown" for vice, *_ in OUTCOMES
    }


async def _states(daemon: Daemon) -> dict[str, str]:
    return {
        payment["path"].rsplit("/", 1)[1]: payment["state"] for payment in await daemon.payments()
    }
