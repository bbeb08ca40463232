"""What the own wallet has enrolled, by its provider's list: `/v1/wallet/me/…`.

The provider allows 20 looks an hour for both lists together, so an answer is kept for six minutes:
ten looks an hour at each. An enrolment since then makes it old at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply
from proxy.media.performing import Perform
from proxy.store import Ledger, portraits
from proxy.visit import Visit

KEPT_S: Final = 360
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    enrolled: int
    reason: str
    headers: Headers
    body: bytes


class WalletLists:
    """Asks for the lists, or answers as they were a little while ago."""

    def __init__(self, ledger: Ledger, perform: Perform, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._perform = perform
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def show(self, visit: Visit, what: str) -> Reply | None:
        """Answer with a list of the own wallet; None where the provider has none."""
        wallet = visit.snapshot.wallet
        call = visit.lore.wallet_list(what, "me" if wallet is None else wallet.address)
        if call is None:
            return None
        if wallet is None:
            raise Refused(Refusal("no_route", "no wallet is configured, so there is no `me`"))
        key = (visit.config.base_url, call.path)
        async with self._turns[visit.provider]:
            enrolled = await self._ledger.ask(partial(portraits.count_of, provider=visit.provider))
            kept = self._kept.get(key)
            if kept is not None and kept.enrolled == enrolled and self._age_s(kept) < KEPT_S:
                return self._again(kept)
            done = await self._perform(visit, call)
            if done.status == _OK:
                told = (done.reply.reason, done.reply.headers, done.body)
                self._kept[key] = _Kept(self._clock(), enrolled, *told)
            return done.reply

    def _again(self, kept: _Kept) -> Reply:
        age = (b"Age", b"%d" % self._age_s(kept))
        return Reply(_OK, kept.reason, (*kept.headers, age), kept.body)

    def _age_s(self, kept: _Kept) -> float:
        return self._clock() - kept.at
