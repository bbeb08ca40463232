"""What a token of EIP-3009 tells of an authorization, and how it is asked: words of the EVM's ABI.

Its log says what became of a nonce (`AuthorizationUsed`, `AuthorizationCanceled`) and what moved
(`Transfer`); in all three the first indexed word is the wallet, so one filter finds them together.
`authorizationState` alone cannot tell used from cancelled. Whatever a node answers is read
strictly: what is not exactly as it should be is no answer. Sources: EIP-3009, ERC-20, the
execution API's schema of JSON-RPC.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sha3 import keccak_256

WORD_BYTES: Final = 32
_ADDRESS_BYTES: Final = 20
_QUANTITY: Final = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,15})", re.ASCII)
"""No number of a block, no time and no chain id needs more than 64 bits."""

_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


class NotWellFormedError(ValueError):
    """This is not what it should be. The message says what it should be, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, its hash (32 bytes) and its time (Unix seconds)."""

    number: int
    hash: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Used:
    """The authorization with this nonce (32 bytes) was executed by `tx` (hex) in block `block`."""

    nonce: bytes
    tx: str
    block: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The wallet took this nonce back: it can never be used."""

    nonce: bytes
    tx: str
    block: int


@dataclass(frozen=True, slots=True)
class Moved:
    """So much (in the token's smallest unit) left the wallet for an address (small letters)."""

    pay_to: str
    amount: int
    tx: str
    block: int


Event = Used | Cancelled | Moved


def log_filter(token: str, wallet: str, first: int, last: int) -> dict[str, Any]:
    """What `eth_getLogs` is asked for: all three events of a wallet, in some blocks."""
    return {
        "address": token,
        "topics": [[_hex(_USED), _hex(_CANCELLED), _hex(_MOVED)], _hex(_address_word(wallet))],
        "fromBlock": hex(first),
        "toBlock": hex(last),
    }


def state_call(token: str, wallet: str, nonce: bytes) -> dict[str, str]:
    """What `eth_call` is asked for: whether a nonce was used or cancelled."""
    return {"to": token, "data": _hex(_STATE + _address_word(wallet) + nonce)}


def domain_call(token: str) -> dict[str, str]:
    """What `eth_call` is asked for: the token's own EIP-712 domain separator."""
    return {"to": token, "data": _hex(_DOMAIN)}


def quantity(value: object) -> int:
    """Read a number of JSON-RPC: hex digits without leading zeros, at most 64 bits."""
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise NotWellFormedError("expected a quantity: 0x and at most 16 hex digits")
    return int(value, 16)


def word(value: object) -> bytes:
    """Read 32 bytes: a hash, a nonce, a value returned by a contract."""
    if not isinstance(value, str) or _WORD.fullmatch(value) is None:
        raise NotWellFormedError("expected a word: 0x and 64 hex digits")
    return bytes.fromhex(value[2:])


def flag(value: object) -> bool:
    """Read a bool that a contract returned."""
    number = int.from_bytes(word(value))
    if number > 1:
        raise NotWellFormedError("expected a bool: the word 0 or 1")
    return number == 1


def block(value: object) -> Block:
    """Read a block, as far as it matters here."""
    fields = _object(value)
    return Block(
        quantity(fields.get("number")), word(fields.get("hash")), quantity(fields.get("timestamp"))
    )


def event(value: object, token: str, wallet: str, first: int, last: int) -> Event:
    """Read one entry of the log; it must be one of those that were asked for."""
    fields = _object(value)
    topics = fields.get("topics")
    if not isinstance(topics, list) or len(topics) != _TOPICS:
        raise NotWellFormedError("expected a log entry with three topics")
    kind, owner, third = map(word, topics)
    number, tx = quantity(fields.get("blockNumber")), _hex(word(fields.get("transactionHash")))
    theirs = fields.get("address")
    if not isinstance(theirs, str) or theirs.lower() != token.lower():
        raise NotWellFormedError("expected a log entry of the token")
    if owner != _address_word(wallet) or not first <= number <= last:
        raise NotWellFormedError("expected a log entry of the wallet, from the blocks asked for")
    if fields.get("removed") is True:
        raise NotWellFormedError("expected a log entry that stands")
    if kind == _USED:
        return Used(third, tx, number)
    if kind == _CANCELLED:
        return Cancelled(third, tx, number)
    if kind != _MOVED or any(third[: WORD_BYTES - _ADDRESS_BYTES]):
        raise NotWellFormedError("expected a log entry of an authorization or of a transfer")
    amount = int.from_bytes(word(fields.get("data")))
    return Moved(_hex(third[-_ADDRESS_BYTES:]), amount, tx, number)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotWellFormedError("expected an object")
    return value


def _keccak(signature: str) -> bytes:
    digest: bytes = keccak_256(signature.encode()).digest()
    return digest


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _address_word(address: str) -> bytes:
    return bytes(WORD_BYTES - _ADDRESS_BYTES) + bytes.fromhex(address[2:])


_TOPICS: Final = 3
_USED: Final = _keccak("AuthorizationUsed(address,bytes32)")
_CANCELLED: Final = _keccak("AuthorizationCanceled(address,bytes32)")
_MOVED: Final = _keccak("Transfer(address,address,uint256)")
_STATE: Final = _keccak("authorizationState(address,bytes32)")[:4]
_DOMAIN: Final = _keccak("DOMAIN_SEPARATOR()")[:4]
