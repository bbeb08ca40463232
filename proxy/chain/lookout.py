"""One look at a network: what the chain says since the last one, and what the ledger makes of it.

The rules, all of them for the side of caution:

- What takes money is believed at once: a nonce in the log of used ones is settled, whatever was
  thought before.
- What gives money back must be shown twice: a cancelled nonce by the log and by the contract's
  state; one that died unused by the chain's clock at a safe block and by the ledger's, and by the
  contract's state at that block. Where the two disagree the whole look is worth nothing.
- A nonce that is over by the contract's state and of which the log says nothing stays counted; the
  log is read once more from before it was signed.
- A nonce that was used and that the ledger never signed, or never signed like that, was signed by
  somebody else, so the wallet is frozen. Only uses after this wallet was first watched are judged.

A look may be broken off anywhere: what it found and how far it read are one transaction, and to
find the same again changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from proxy.chain.evidence import (
    Pair,
    Reading,
    Step,
    cancelled,
    foreign,
    judge,
    pairs_of,
    taken,
    unused,
)
from proxy.chain.reads import Chain
from proxy.chain.rpc import ChainUnavailableError, Trouble
from proxy.core.ledger import OPEN, State
from proxy.core.money import Usd
from proxy.core.x402.assets import AssetTable
from proxy.core.x402.eip3009 import Block
from proxy.store import ForeignUse, Ledger, Watched, onchain
from proxy.store.onchain import Signed

OVERLAP_BLOCKS: Final = 200
"""Read again each time: of the machines behind a URL some are behind the others."""

PIECES_MAX: Final = 32
"""Questions for the log in one look; where there is more to read, the next look goes on."""

EARLIER_S: Final = 600
"""How long before our own time of signing the chain's log is read: clocks disagree."""

ATTENTION_S: Final = 7200
"""For so long after an open authorization died its end is looked for often."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a look went: which block it stood on, whether something urgent is open, more to read."""

    safe: Block
    urgent: bool
    more: bool


class Lookout:
    """Looks at one network again and again.

    `clock` gives Unix seconds; `changed` hears of each state that the chain changed, with the
    dollars (millionths) that it is about.
    """

    def __init__(
        self,
        network: str,
        chain: Chain,
        ledger: Ledger,
        clock: Callable[[], float],
        changed: Callable[[State, Usd], None],
    ) -> None:
        self._network = network
        self._chain = chain
        self._ledger = ledger
        self._clock = clock
        self._changed = changed
        self._seen: Block | None = None
        self._silent: dict[int, bool] = {}
        """Holds that are over and not in the log, and whether it was read once more for them."""

    async def look(self, assets: AssetTable, wallet: str | None) -> Outlook:
        """Look once, and tell the ledger. ChainUnavailableError if the node cannot be believed."""
        await self._ledger.ask(lambda db: onchain.watch_open(db, self._network))
        watched = await self._ledger.ask(lambda db: onchain.watched(db, self._network))
        cursors = await self._ledger.ask(lambda db: onchain.cursors(db, self._network))
        safe = await self._chain.safe_block()
        read_up_to = max((block for block, _ in cursors.values()), default=0)
        judge(safe, self._seen, read_up_to, self._clock())
        read = [
            await self._read(pair, safe, assets)
            for pair in pairs_of(self._network, watched, cursors, wallet)
        ]
        self._seen = safe
        return Outlook(safe, any(self._is_urgent(hold) for hold in watched), not all(read))

    def _is_urgent(self, hold: Watched) -> bool:
        """Whether somebody may be waiting for what becomes of it."""
        return State(hold.state) in OPEN and self._clock() < hold.valid_before + ATTENTION_S

    async def _read(self, pair: Pair, safe: Block, assets: AssetTable) -> bool:
        """Judge a pair up to the safe block, or as far as one look goes: whether that was all."""
        first, since = await self._place(pair, safe)
        reading = await self._reading(pair, first, safe.number)
        known, dead = await self._ours(pair, reading, safe)
        back, silent = await self._given_back(pair, safe, assets, cancelled(reading, known), dead)
        steps = [*taken(reading, known), *back]
        theirs = foreign(self._network, pair, reading, known)
        await self._conclude(pair, steps, await self._since(pair, theirs, since), reading, since)
        again = self._note_silent(pair, reading, safe, silent)
        return reading.up_to >= safe.number and not again

    async def _place(self, pair: Pair, safe: Block) -> tuple[int, int]:
        """From which block the log is read, and since when each use must be one of ours."""
        again = [w for w in pair.watched if self._silent.get(w.hold) is False]
        if pair.position is None:
            if not pair.watched:
                return safe.number, safe.time
            oldest = min(map(_signed_at, pair.watched))
            return (await self._chain.block_before(oldest - EARLIER_S, safe)).number, oldest
        block, since = pair.position
        # However few blocks a node gives at a time, each look must get ahead.
        overlap = min(OVERLAP_BLOCKS, self._chain.span * PIECES_MAX // 2)
        first = max(0, block + 1 - overlap)
        if again:
            before = await self._chain.block_before(min(map(_signed_at, again)) - EARLIER_S, safe)
            first = min(first, before.number)
        return first, since

    async def _reading(self, pair: Pair, first: int, last: int) -> Reading:
        reading, end = Reading(first - 1), first - 1
        for _ in range(PIECES_MAX):
            if end >= last:
                break
            events, end = await self._chain.log(pair.token, pair.wallet, end + 1, last)
            reading.add(events, end)
        return reading

    async def _ours(
        self, pair: Pair, reading: Reading, safe: Block
    ) -> tuple[dict[bytes, Signed], list[Signed]]:
        """Which of the nonces in the log are ours, and which of ours died without a word in it."""
        where = (self._network, pair.token, pair.wallet)
        known = await self._ledger.ask(lambda db: onchain.signed(db, *where, reading.ends))
        now = self._ledger.now()
        dead = await self._ledger.ask(lambda db: onchain.dying(db, *where, safe.time, now))
        return known, [hold for hold in dead if hold.nonce not in reading.ends]

    async def _given_back(
        self,
        pair: Pair,
        safe: Block,
        assets: AssetTable,
        taken_back: Sequence[Step],
        dead: Sequence[Signed],
    ) -> tuple[list[Step], list[Signed]]:
        """What gives money back, the contract agreeing; and what died and was not unused."""
        nonces = [step.signed.nonce for step in taken_back] + [hold.nonce for hold in dead]
        if not nonces:
            return [], []
        asset = assets.find(self._network, pair.token)
        over = await self._chain.ended(pair.token, pair.wallet, nonces, safe, asset)
        if not all(over[step.signed.nonce] for step in taken_back):
            message = "the log says cancelled and the contract says unused"
            raise ChainUnavailableError(Trouble.CONTRADICTION, message)
        back = [*taken_back, *(unused(hold) for hold in dead if not over[hold.nonce])]
        return back, [hold for hold in dead if over[hold.nonce]]

    async def _since(
        self, pair: Pair, uses: Sequence[tuple[ForeignUse, int]], since: int
    ) -> list[ForeignUse]:
        """Those foreign uses, given with their blocks, that are new and were after a time."""
        where = (self._network, pair.token, pair.wallet)
        noted = await self._ledger.ask(lambda db: onchain.noted(db, *where))
        new = [(use, block) for use, block in uses if use.nonce not in noted]
        times = await self._chain.times(sorted({block for _, block in new}))
        return [use for use, block in new if times[block] >= since]

    async def _conclude(
        self,
        pair: Pair,
        steps: Sequence[Step],
        uses: Sequence[ForeignUse],
        reading: Reading,
        since: int,
    ) -> None:
        """Write down what was found and how far was read, in one transaction, and say so."""
        if not steps and not uses and pair.position and pair.position[0] >= reading.up_to:
            return
        cursor = (self._network, pair.token, pair.wallet, reading.up_to, since)
        states, _ = await self._ledger.conclude([step.finding for step in steps], uses, cursor)
        for step, state in zip(steps, states, strict=True):
            self._tell(step, state)
        for use in uses:
            _log.critical(
                "wallet_frozen",
                wallet=use.wallet,
                network=use.network,
                nonce=f"0x{use.nonce.hex()}",
                tx=use.tx,
                why="the ledger never signed this; somebody else has the key",
            )

    def _tell(self, step: Step, state: State) -> None:
        finding, signed = step.finding, step.signed
        if finding.note:
            _log.critical(
                "transfer_differs", payment=signed.payment, tx=finding.tx, why=finding.note
            )
        if state is not signed.state:
            _log.info(
                "chain_concluded",
                payment=signed.payment,
                was=signed.state.value,
                state=state.value,
                evidence=finding.evidence.value,
                tx=finding.tx,
            )
            self._changed(state, signed.usd)

    def _note_silent(
        self, pair: Pair, reading: Reading, safe: Block, silent: Sequence[Signed]
    ) -> bool:
        """Remember what the log should have told and did not: whether it is to be read again."""
        for watched in pair.watched:
            if self._silent.get(watched.hold) is False:
                self._silent[watched.hold] = True
        if reading.up_to < safe.number:
            return False
        new = [hold for hold in silent if hold.hold not in self._silent]
        for hold in new:
            self._silent[hold.hold] = False
            _log.warning("chain_log_lacks", payment=hold.payment, nonce=f"0x{hold.nonce.hex()}")
        return bool(new)


def _signed_at(hold: Watched) -> int:
    """When it was signed at the latest, by the chain's clock as far as ours can tell."""
    return min(hold.created_at, hold.valid_before)
