"""The words of a token, held against eth_abi; and whatever else a node may say."""

import contextlib
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.x402 import eip3009
from proxy.core.x402.eip3009 import Block, Cancelled, Moved, NotWellFormedError, Used
from tests.store.books import OTHER, SHOP, USDC, WALLET

NONCE = bytes(range(32))
TX = "0x" + "ab" * 32
USED, CANCELLED, MOVED = (
    "0x" + keccak(text=signature).hex()
    for signature in (
        "AuthorizationUsed(address,bytes32)",
        "AuthorizationCanceled(address,bytes32)",
        "Transfer(address,address,uint256)",
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("0x" + "0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def word(address: str) -> str:
    """An address as an indexed word, by eth_abi."""
    return "0x" + encode(["address"], [address]).hex()


def entry(*topics: str, data: str = "0x", **changes: Any) -> dict[str, Any]:
    """An entry of the log."""
    return {
        "address": USDC,
        "topics": list(topics),
        "data": data,
        "blockNumber": "0x10",
        "transactionHash": TX,
        **changes,
    }


def read(value: object) -> eip3009.Event:
    """Read an entry of the log of our wallet and token in blocks 10 to 20."""
    return eip3009.event(value, USDC, WALLET, 10, 20)


def test_questions() -> None:
    """What we ask is what eth_abi would write."""
    assert eip3009.state_call(USDC, WALLET, NONCE) == {
        "to": USDC,
        "data": "0x"
        + keccak(text="authorizationState(address,bytes32)")[:4].hex()
        + encode(["address", "bytes32"], [WALLET, NONCE]).hex(),
    }
    assert eip3009.domain_call(USDC)["data"] == "0x" + keccak(text="DOMAIN_SEPARATOR()")[:4].hex()
    assert eip3009.log_filter(USDC, WALLET, 10, 20) == {
        "address": USDC,
        "topics": [[USED, CANCELLED, MOVED], word(WALLET)],
        "fromBlock": "0xa",
        "toBlock": "0x14",
    }


def test_events() -> None:
    """What a token logs is read as what it is."""
    nonce = "0x" + NONCE.hex()
    assert read(entry(USED, word(WALLET), nonce)) == Used(NONCE, TX, 16)
    assert read(entry(CANCELLED, word(WALLET), nonce)) == Cancelled(NONCE, TX, 16)
    data = "0x" + encode(["uint256"], [2**256 - 1]).hex()
    moved = entry(MOVED, word(WALLET), word(SHOP), data=data, address=USDC.lower())
    assert read(moved) == Moved(SHOP.lower(), 2**256 - 1, TX, 16)


@pytest.mark.parametrize(
    "value",
    [
        entry(MOVED, word(WALLET), "0x" + "1" * 64, data="0x" + "0" * 64),
        entry(MOVED, word(WALLET), word(SHOP)),
        entry(MOVED, word(SHOP), word(WALLET), data="0x" + "0" * 64),
        entry(USED, word(OTHER), "0x" + NONCE.hex()),
        entry(USED, word(WALLET)),
        entry(USED, word(WALLET), "0x" + NONCE.hex(), blockNumber="0x9"),
        entry(USED, word(WALLET), "0x" + NONCE.hex(), blockNumber="0x15"),
        entry(USED, word(WALLET), "0x" + NONCE.hex(), removed=True),
        entry(USED, word(WALLET), "0x" + NONCE.hex(), address=OTHER),
        entry("0x" + "1" * 64, word(WALLET), "0x" + NONCE.hex()),
    ],
)
def test_events_that_were_not_asked_for(value: object) -> None:
    """Another wallet, token, range or event is no answer."""
    with pytest.raises(NotWellFormedError):
        read(value)


@pytest.mark.parametrize(
    "value",
    ["0x", "0x00", "0x01", "1", "0xg", "0x1 ", "-0x1", "0x" + "1" * 17, 1, None, "0x\uff11"],
)
def test_no_quantity(value: object) -> None:
    """A quantity has hex digits, no leading zeros, and at most 64 bits."""
    with pytest.raises(NotWellFormedError):
        eip3009.quantity(value)


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_quantity(number: int) -> None:
    """A quantity is read in either case of letters."""
    assert eip3009.quantity(hex(number)) == number
    assert eip3009.quantity(f"0x{number:X}") == number


def test_block_and_flag() -> None:
    """A block has a number, a hash and a time; a flag is the word 0 or 1."""
    raw = {"number": "0x10", "hash": TX, "timestamp": "0x20", "miner": None}
    assert eip3009.block(raw) == Block(16, bytes.fromhex(TX[2:]), 32)
    assert [eip3009.flag(f"0x{number:064x}") for number in (0, 1)] == [False, True]
    with pytest.raises(NotWellFormedError):
        eip3009.flag(f"0x{2:064x}")


@given(JSON)
def test_anything_else(value: object) -> None:
    """Whatever a node says is read or refused, and nothing else happens."""
    for decode in (eip3009.quantity, eip3009.flag, eip3009.block, read):
        for said in (value, {"topics": value}, {"topics": [value] * 3, "address": value}):
            with contextlib.suppress(NotWellFormedError):
                decode(said)
