"""The chain's log and state, as one node tells them: only what cannot be taken back any more.

Every exchange asks for the chain's id along with the rest, for there may be many machines behind a
URL. Nothing is asked of `latest`: a look begins with a block that is safe, and each further
question names its block by number, so that a node that is behind fails instead of telling an older
truth.
Nodes differ in how much they answer at a time; what they refuse is asked in smaller pieces.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from proxy.chain.rpc import Call, ChainUnavailableError, Node, Trouble
from proxy.core.x402 import eip3009
from proxy.core.x402.assets import Asset, chain_id
from proxy.core.x402.authorization import domain_separator
from proxy.core.x402.eip3009 import Block, Event, NotWellFormedError

QUESTIONS_MAX: Final = 40
"""In one exchange, the chain's id among them; some nodes allow a hundred, some forty, some one."""

SPAN_FIRST: Final = 10_000
SPAN_MAX: Final = 100_000
"""Blocks in one question for the log: what most nodes allow, and what the best do."""

REACH: Final = 26
"""How far back a time is looked for: 2**25 blocks are two years of Base."""

_STRIDES: Final = 9
_TOO_MUCH: Final = (Trouble.REFUSED, Trouble.TOO_LARGE)
_CHAIN_ID: Final[Call] = ("eth_chainId", [])
T = TypeVar("T")


class Chain:
    """One network, read through one node. Everything here may raise ChainUnavailableError."""

    def __init__(self, node: Node, network: str) -> None:
        self._node = node
        self._chain_id = chain_id(network)
        self._questions_max = QUESTIONS_MAX
        self.span = SPAN_FIRST

    async def safe_block(self) -> Block:
        """The newest block that stands; the finalized one where the node knows no `safe`."""
        for tag in ("safe", "finalized"):
            try:
                (found,) = await self._ask(_block_call(tag))
            except ChainUnavailableError as problem:
                if problem.trouble is not Trouble.REFUSED:
                    raise
                continue
            if found is not None:
                return _read(eip3009.block, found)
        raise ChainUnavailableError(Trouble.REFUSED, "the node knows no safe block")

    async def block_before(self, time: int, safe: Block) -> Block:
        """A block from before a time, looked for in growing strides back from a safe one.

        It lies at most twice as far back as it had to; the oldest to be had, if none is old enough.
        """
        best = safe
        for start in range(0, REACH, _STRIDES):
            if best.time < time:
                break
            strides = range(start, min(start + _STRIDES, REACH))
            numbers = sorted({max(0, safe.number - 2**k) for k in strides}, reverse=True)
            found = await self._ask(*map(_block_call, map(hex, numbers)))
            for number, raw in zip(numbers, found, strict=True):
                if best.time < time or raw is None:
                    return best
                best = _standing(raw, number)
        return best

    async def times(self, numbers: Sequence[int]) -> dict[int, int]:
        """The times (Unix seconds) of some blocks."""
        found = await self._ask(*map(_block_call, map(hex, numbers)))
        return {
            number: _standing(raw, number).time for number, raw in zip(numbers, found, strict=True)
        }

    async def log(self, token: str, wallet: str, first: int, last: int) -> tuple[list[Event], int]:
        """What a token logged of a wallet from block `first` on, and up to which block that is.

        As far as the node goes in one answer, and never past `last`. It must have the block up to
        which it was asked: some read the log up to where they are, and do not say so.
        """
        while True:
            end = min(last, first + self.span - 1)
            question = eip3009.log_filter(token, wallet, first, end)
            try:
                raw, found = await self._ask(_block_call(hex(end)), ("eth_getLogs", [question]))
            except ChainUnavailableError as problem:
                self._shrink(problem, first, end)
                continue
            _standing(raw, end)
            if end - first + 1 == self.span:
                self.span = min(SPAN_MAX, self.span + self.span // 4 + 1)
            return _events(found, token, wallet, first, end), end

    async def ended(
        self, token: str, wallet: str, nonces: Sequence[bytes], at: Block, asset: Asset | None
    ) -> dict[bytes, bool]:
        """Whether each of some nonces was used or cancelled by a block.

        Money is given back on this answer, so the token must also prove to be the one that we sign
        for: its domain separator has the chain's id and its own address in it. With `asset` None
        (the config has forgotten it) that is not asked.
        """
        here = hex(at.number)
        questions = [("eth_call", [eip3009.state_call(token, wallet, n), here]) for n in nonces]
        proof = [("eth_call", [eip3009.domain_call(token), here])] if asset is not None else []
        raw, *found = await self._ask(_block_call(here), *proof, *questions)
        if _standing(raw, at.number) != at:
            raise ChainUnavailableError(Trouble.CONTRADICTION, "a safe block changed")
        if asset is not None and _read(eip3009.word, found.pop(0)) != domain_separator(asset):
            message = f"the token at {token} has another EIP-712 domain than the one we sign for"
            raise ChainUnavailableError(Trouble.WRONG_CHAIN, message)
        return {n: _read(eip3009.flag, value) for n, value in zip(nonces, found, strict=True)}

    def _shrink(self, problem: ChainUnavailableError, first: int, end: int) -> None:
        """Ask for half as many blocks, at once or (after a silence) the next time."""
        if problem.trouble in (*_TOO_MUCH, Trouble.SLOW):
            self.span = max(1, (end - first + 1) // 2)
        if problem.trouble not in _TOO_MUCH or end == first:
            raise problem

    async def _ask(self, *calls: Call) -> list[object]:
        """Ask in as few exchanges as the node allows."""
        results: list[object] = []
        while len(results) < len(calls):
            asked = len(results)
            piece = calls[asked : asked + max(1, self._questions_max - 1)]
            try:
                results += await self._ask_here(piece)
            except ChainUnavailableError as problem:
                if problem.trouble is not Trouble.NO_BATCHES:
                    raise
                self._questions_max = (len(piece) + 1) // 2
        return results

    async def _ask_here(self, piece: Sequence[Call]) -> list[object]:
        """Ask, and hear in the same breath which chain it is that speaks."""
        if self._questions_max == 1:
            theirs, results = await self._node.ask(_CHAIN_ID), [await self._node.ask(piece[0])]
        else:
            theirs, *results = await self._node.ask_together([_CHAIN_ID, *piece])
        if (number := _read(eip3009.quantity, theirs)) != self._chain_id:
            message = f"the node speaks for chain {number}, not for {self._chain_id}"
            raise ChainUnavailableError(Trouble.WRONG_CHAIN, message)
        return results


def _block_call(which: str) -> Call:
    return "eth_getBlockByNumber", [which, False]


def _standing(raw: object, number: int) -> Block:
    """The block of a number, which a node that is behind does not have."""
    if raw is None:
        raise ChainUnavailableError(Trouble.BEHIND, "the node lacks a block that is safe")
    found = _read(eip3009.block, raw)
    if found.number != number:
        raise ChainUnavailableError(Trouble.MALFORMED, "the node answers with another block")
    return found


def _events(value: object, token: str, wallet: str, first: int, last: int) -> list[Event]:
    if not isinstance(value, list):
        raise ChainUnavailableError(Trouble.MALFORMED, "the node's answer: expected a list")
    decode = partial(eip3009.event, token=token, wallet=wallet, first=first, last=last)
    return [_read(decode, entry) for entry in value]


def _read(decode: Callable[[object], T], value: object) -> T:
    try:
        return decode(value)
    except NotWellFormedError as problem:
        raise ChainUnavailableError(Trouble.MALFORMED, f"the node's answer: {problem}") from None
