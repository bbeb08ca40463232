"""The rig proves itself with the official SDK's own client, before it judges the daemon."""

import hashlib

import aiohttp
import httpx
import pytest
from eth_account.signers.local import LocalAccount
from x402 import x402Client
from x402.http.clients import x402HttpxClient
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client

from tests.rig.chain import Chain
from tests.rig.fixtures import Facilitator, Seller
from tests.rig.hostile import LATER_PRICE, PRICE, HostileSeller


def official_client(payer: LocalAccount) -> x402HttpxClient:
    """Make the official payer for a key."""
    client = x402Client()
    register_exact_evm_client(client, EthAccountSigner(payer))
    return x402HttpxClient(client, timeout=30)


@pytest.fixture(params=["fastapi_seller", "v1_seller"])
def seller(request: pytest.FixtureRequest) -> Seller:
    """Give each of the fast sellers in turn."""
    found: Seller = request.getfixturevalue(request.param)
    return found


def test_the_token_is_the_real_one(chain: Chain) -> None:
    """The contract at USDC's address has the domain that the real one has on Base Sepolia."""
    separator = chain.rpc("eth_call", {"to": chain.token, "data": "0x3644e515"}, "latest")
    assert separator == "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"


def test_minted_money_is_there(chain: Chain) -> None:
    """A fresh payer owns what it was given and nothing else."""
    assert chain.balance(chain.new_payer(123).address) == 123
    assert chain.balance(chain.new_payer().address) == 0


async def test_official_client_pays_get(
    chain: Chain, facilitator: Facilitator, seller: Seller
) -> None:
    """Balances move by exactly the price, the nonce is used, and the facilitator counted one."""
    payer = chain.new_payer(1_000_000)
    earned, settled = chain.balance(seller.pay_to), facilitator.tally().get("settled", 0)
    async with official_client(payer) as client:
        answer = await client.get(f"{seller.url}/paid")
    assert (answer.status_code, answer.json()) == (200, {"goods": "delivered"})
    assert chain.balance(payer.address) == 1_000_000 - seller.price("GET /paid")
    assert chain.balance(seller.pay_to) == earned + seller.price("GET /paid")
    assert facilitator.tally()["settled"] == settled + 1
    (payment,) = seller.payments_by(payer.address)
    assert chain.authorization_used(payer.address, payment["nonce"])
    assert chain.transfers_from(payer.address) == [10_000]


async def test_official_client_pays_post(chain: Chain, seller: Seller) -> None:
    """A body arrives whole with the payment."""
    payer = chain.new_payer(1_000_000)
    body = bytes(range(256)) * 100
    async with official_client(payer) as client:
        answer = await client.post(f"{seller.url}/echo-paid", content=body)
    assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
    assert chain.balance(payer.address) == 1_000_000 - 20_000


async def test_price_by_query(chain: Chain, seller: Seller) -> None:
    """A seller may price a request by its query."""
    payer = chain.new_payer(1_000_000)
    async with official_client(payer) as client:
        answer = await client.get(f"{seller.url}/price", params={"usd": "0.37"})
    assert answer.status_code == 200
    assert chain.transfers_from(payer.address) == [370_000]


async def test_failed_work_is_free(chain: Chain, seller: Seller) -> None:
    """A handler that fails charges nothing, though the authorization has left."""
    payer = chain.new_payer(1_000_000)
    async with official_client(payer) as client:
        answer = await client.get(f"{seller.url}/paid-fails")
    assert answer.status_code == 500
    (payment,) = seller.payments_by(payer.address)
    assert not chain.authorization_used(payer.address, payment["nonce"])


async def test_free_needs_no_client(seller: Seller) -> None:
    """What is free is free, and what is not is a 402."""
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{seller.url}/free")).json() == {"goods": "free"}
        assert (await client.get(f"{seller.url}/paid")).status_code == 402


async def test_hostile_seller_delivers(chain: Chain, hostile_seller: HostileSeller) -> None:
    """The hostile seller's payments are real: it settles one through the official facilitator."""
    payer = chain.new_payer(PRICE)
    async with official_client(payer) as client:
        answer = await client.get(f"{hostile_seller.url}/deliver")
    assert answer.status_code == 200
    assert (hostile_seller.settled, len(hostile_seller.nonces)) == (1, 1)
    assert chain.balance(hostile_seller.pay_to) == PRICE


async def test_hostile_seller_lies(chain: Chain, hostile_seller: HostileSeller) -> None:
    """Its vices are vices: it asks again for more after a good payment, and it hangs up on one."""
    payer = chain.new_payer(LATER_PRICE)
    async with official_client(payer) as client:
        answer = await client.get(f"{hostile_seller.url}/overcharge")
        assert answer.status_code == 402
        with pytest.raises(Exception, match="disconnected"):
            await client.get(f"{hostile_seller.url}/settle_then_drop")
    assert chain.balance(payer.address) == LATER_PRICE - PRICE


async def test_stalled_connection_is_cut(hostile_seller: HostileSeller) -> None:
    """An endless 402 ends when its reader leaves."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{hostile_seller.url}/endless_402_body") as answer,
    ):
        assert len(await answer.content.readexactly(1 << 20)) == 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["express_v1_seller", "express_v2_seller"])
async def test_express_sellers(chain: Chain, request: pytest.FixtureRequest, name: str) -> None:
    """The official Express sellers take the official client's payment."""
    seller: Seller = request.getfixturevalue(name)
    payer = chain.new_payer(1_000_000)
    async with official_client(payer) as client:
        answer = await client.post(f"{seller.url}/echo-paid", content=b"hello")
    assert answer.json()["body"] == "hello"
    assert chain.transfers_from(payer.address) == [20_000]
