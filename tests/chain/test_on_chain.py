"""The real token on a real chain: what its log and its state say, and what the ledger makes of it.

The chain is the tests' own, since its clock is moved; its safe block is 32 blocks behind.
"""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from proxy.core.ledger import Evidence, State
from proxy.core.x402.assets import BUILT_IN, Asset
from proxy.core.x402.authorization import Authorization, digest
from proxy.store import Reserved
from proxy.wallet import Wallet
from tests.chain.conftest import Watch, with_node
from tests.rig.chain import CHAIN_ID, NETWORK, USDC, USDC_DOMAIN, Chain
from tests.store.books import OTHER, SHOP, Books, Clock, limit, opened

E = Evidence
ASSET: Asset = next(asset for asset in BUILT_IN if asset.network == NETWORK)
FUNDS = 1_000_000
LIFE_S = 300
MARGIN_S = 60
SAFE_DEPTH = 32
HASHES_ONLY = [False]
"""Blocks without their transactions' content."""


@dataclass
class World:
    """A wallet on the chain, its ledger, and who reconciles the two; the clock is the chain's."""

    chain: Chain
    payer: LocalAccount
    watch: Watch

    async def signed(self, usd: int, *story: Evidence, **changes: Any) -> Reserved:
        """An authorization that left, its outcome unknown if no story is told."""
        return await self.watch.signed(
            usd,
            *story,
            network=NETWORK,
            asset=USDC,
            wallet=self.payer.address,
            nonce=secrets.token_bytes(32),
            **changes,
        )

    async def settle(self, held: Reserved, usd: int, depth: int = SAFE_DEPTH) -> str:
        """Execute an authorization, as a facilitator would; its transaction."""
        nonce = await self.watch.nonce(held)
        valid_before = await self.watch.column(held, "valid_before")
        return self.execute(nonce, usd, valid_before, depth=depth)

    def execute(
        self,
        nonce: bytes,
        usd: int,
        valid_before: int,
        pay_to: str = SHOP,
        depth: int = SAFE_DEPTH,
    ) -> str:
        """Sign with the wallet's key and execute, whatever the ledger knows of it."""
        authorization = Authorization(self.payer.address, pay_to, usd, 0, valid_before, nonce)
        signature = Wallet(bytes(self.payer.key)).sign(digest(authorization, ASSET))
        return self.send(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
            *(self.payer.address, pay_to, usd, 0, valid_before, nonce, signature),
            depth=depth,
        )

    def cancel(self, nonce: bytes) -> str:
        """Take a nonce back with the wallet's key."""
        message = {"authorizer": self.payer.address, "nonce": nonce}
        types = {
            "CancelAuthorization": [
                {"name": "authorizer", "type": "address"},
                {"name": "nonce", "type": "bytes32"},
            ]
        }
        domain = {**USDC_DOMAIN, "chainId": CHAIN_ID, "verifyingContract": USDC}
        signed = Account.sign_message(encode_typed_data(domain, types, message), self.payer.key)
        signature = bytes(signed.signature)
        return self.send(
            "cancelAuthorization(address,bytes32,bytes)", self.payer.address, nonce, signature
        )

    def send(self, signature: str, *words: Any, depth: int = SAFE_DEPTH) -> str:
        """Call the token and mine some blocks; the transaction."""
        before = int(self.chain.rpc("eth_blockNumber"), 16)
        self.chain._transact(signature, *words)
        found = self.chain.rpc("eth_getBlockByNumber", hex(before + 1), *HASHES_ONLY)
        self.mine(depth)
        return str(found["transactions"][0])

    def mine(self, blocks: int) -> None:
        """Mine some blocks; they take no time."""
        self.chain.rpc("anvil_mine", hex(blocks))

    def pass_on(self, seconds: int) -> None:
        """Let time pass on the chain, up to its latest block alone, and for us."""
        self.chain.rpc("evm_increaseTime", seconds)
        self.mine(1)
        self.watch.books.clock.now = self.chain_time("latest")

    def chain_time(self, tag: str) -> int:
        """The time of a block."""
        return int(self.chain.rpc("eth_getBlockByNumber", tag, *HASHES_ONLY)["timestamp"], 16)


@pytest.fixture
async def world(own_chain: Chain, tmp_path: Path) -> AsyncIterator[World]:
    """A fresh wallet and a fresh ledger on the chain."""
    payer = own_chain.new_payer(FUNDS)
    own_chain.rpc("anvil_mine", hex(SAFE_DEPTH))
    latest = own_chain.rpc("eth_getBlockByNumber", "latest", *HASHES_ONLY)
    clock = Clock(now=max(int(latest["timestamp"], 16), int(time.time())))
    async with opened(tmp_path, clock) as books:
        config = with_node(own_chain.rpc_url, NETWORK)
        watch = Watch(books, config, payer.address, NETWORK)
        watch.begin()
        yield World(own_chain, payer, watch)
        await watch.reconciler.close()


async def test_settled_without_a_receipt(world: World) -> None:
    """What a seller took and never said is settled, with its transaction."""
    held = await world.signed(50)
    tx = await world.settle(held, 50)
    assert world.chain.transfers_from(world.payer.address) == [50]
    await world.watch.look_well()
    assert await world.watch.state(held) is State.SETTLED
    assert await world.watch.payment(held, "tx") == tx
    assert await world.watch.payment(held, "note") == ""
    refusal = await world.watch.books.refused(10, limit("day", 55))
    assert refusal.code == "cap_day"


async def test_not_safe_yet(world: World) -> None:
    """What happened in a block that is not safe has not happened."""
    held = await world.signed(50)
    await world.settle(held, 50, depth=SAFE_DEPTH - 1)
    await world.watch.look_well()
    assert await world.watch.state(held) is State.UNKNOWN
    world.mine(1)
    await world.watch.look_well()
    assert await world.watch.state(held) is State.SETTLED


async def test_cancelled(world: World) -> None:
    """What the wallet took back no longer counts: there is room under the cap again."""
    held = await world.signed(50)
    day = limit("day", 55)
    await world.watch.books.refused(50, day)
    tx = world.cancel(await world.watch.nonce(held))
    await world.watch.look_well()
    assert await world.watch.state(held) is State.CANCELLED
    assert await world.watch.payment(held, "tx") == tx
    await world.watch.books.bought(50, day)


@pytest.mark.parametrize("story", [(), (E.SENT, E.RECEIPT)], ids=["unknown", "receipt that lied"])
async def test_expired(world: World, story: tuple[Evidence, ...]) -> None:
    """What died unused is given back once the safe block is past its end, not the latest."""
    held = await world.signed(50, *story)
    before = await world.watch.state(held)
    world.pass_on(LIFE_S + MARGIN_S)
    end = await world.watch.column(held, "valid_before")
    assert world.chain_time("safe") < end < world.chain_time("latest")
    await world.watch.look_well()
    assert await world.watch.state(held) is before
    assert await world.watch.books.exposure() == 50
    world.mine(SAFE_DEPTH)
    assert world.chain_time("safe") >= end
    await world.watch.look_well()
    assert await world.watch.state(held) is State.EXPIRED
    assert await world.watch.books.exposure() == 0
    with pytest.raises((RuntimeError, TimeoutError), match=r"expired|reverted"):
        await world.settle(held, 50)


async def test_stolen(world: World, tmp_path: Path) -> None:
    """A payment that the ledger never signed stops the wallet, across restarts, till accepted."""
    await world.watch.look_well()
    nonce = secrets.token_bytes(32)
    valid_before = int(world.watch.books.clock.now) + LIFE_S
    tx = world.execute(nonce, 99, valid_before, OTHER)
    await world.watch.look_well()
    books = world.watch.books

    async def code(books: Books) -> str:
        return (await books.refused(1, wallet=world.payer.address, nonce=nonce)).code

    assert await code(books) == "wallet_frozen"
    async with opened(tmp_path, books.clock) as after_a_restart:
        assert await code(after_a_restart) == "wallet_frozen"
    assert await books.unfrozen() == 1
    await world.watch.begin_again()
    await world.watch.look_well()
    await books.bought(1, wallet=world.payer.address, nonce=nonce)
    assert tx.startswith("0x")


async def test_our_nonce_for_another_payee(world: World) -> None:
    """Whoever signs our nonce anew has the key."""
    held = await world.signed(50)
    valid_before = int(world.watch.books.clock.now) + LIFE_S
    world.execute(await world.watch.nonce(held), 99, valid_before, OTHER)
    await world.watch.look_well()
    assert await world.watch.state(held) is State.SETTLED
    assert OTHER.lower() in await world.watch.payment(held, "note")
    refusal = await world.watch.books.refused(1, wallet=world.payer.address)
    assert refusal.code == "wallet_frozen"


async def test_restart_in_the_middle(world: World) -> None:
    """What happened while nobody looked is found by whoever looks next."""
    one, two = await world.signed(50), await world.signed(7)
    tx_one = await world.settle(one, 50)
    await world.watch.look_well()
    tx_two = await world.settle(two, 7)
    world.mine(300)
    await world.watch.begin_again()
    await world.watch.look_well()
    assert await world.watch.payment(one, "tx") == tx_one
    assert await world.watch.payment(two, "tx") == tx_two
    assert len(world.watch.changes) == 2
