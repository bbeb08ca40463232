"""The story of one request, from a safe path to a reply.

    receive: find the route, keep the body where it may be sent twice, find the provider
    send
    not a 402: stream it back
    a 402: choose the terms, reserve, sign, send once more, read the receipt, stream it back

What is signed is what was checked; what leaves was counted before. After the paid send nothing is
signed again, whatever comes back: a second 402, a 500, silence. From the reservation to the
receipt the work is shielded from the client: one that hangs up neither takes a payment back nor is
taken for the provider's failure.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.carrier import Carrier
from proxy.challenges import read_terms
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply, Request, get
from proxy.core.links import ANSWER_BYTES_MAX
from proxy.core.money import Usd, format_usd, usd_of
from proxy.core.routing import job_id
from proxy.core.x402.terms import Terms
from proxy.jobs import TOO_LATE_S, Jobs
from proxy.keeping import Keeping
from proxy.payer import ACCEPTED, PAYMENT_REQUIRED, Payer, Purchase
from proxy.quote import dry_run, priced_by_table, wants_dry_run
from proxy.reception import Reception
from proxy.relay import streamed, whole
from proxy.replies import broken, json_answer, plain_body, unreachable
from proxy.shield import AbandonedError, Shield
from proxy.store import KeptAnswer, Ledger, LedgerUnavailableError, Memory
from proxy.unclaimed import Delivered, Unclaimed
from proxy.upstream import Answer, BrokenError, NeverSentError
from proxy.visit import Snapshot, Visit
from proxy.wallet import Wallet

_SUCCESS: Final = range(200, 300)


class Exchange:
    """Serves requests, each under the config of its moment."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        carrier: Carrier,
        payer: Payer,
        spool_dir: Path,
    ) -> None:
        self._reception = Reception(snapshot, ledger, spool_dir)
        self._ledger = ledger
        self._carrier = carrier
        self._payer = payer
        self._shield = Shield()
        self._shown: set[str] = set()
        self._unclaimed = Unclaimed()
        self._keeping = Keeping(ledger, self._shield, self._unclaimed)
        self._jobs = Jobs(ledger, carrier, payer, self._shield)

    async def serve(self, request: Request) -> Reply:
        """Serve one request; `Refused` says why not.

        Cancelled, it finishes what is paid for, and nothing else.
        """
        try:
            visit = await self._reception.receive(request)
            try:
                reply = await self._walk(visit)
            except AbandonedError:
                raise
            except Refused as refused:
                refused.story = visit.story
                visit.close()
                raise
            except BaseException:
                visit.close()
                raise
        except LedgerUnavailableError as problem:
            raise Refused(
                Refusal("ledger_unavailable", f"nothing is signed: {problem}")
            ) from problem
        if isinstance(reply.body, bytes):
            visit.close()
        reply.story = visit.story
        return reply

    async def drain(self, timeout_s: float) -> None:
        """Wait for paid requests whose clients have gone."""
        await self._shield.drain(timeout_s)
        self._unclaimed.close()

    async def _walk(self, visit: Visit) -> Reply:
        if wants_dry_run(visit.request):
            return await dry_run(visit, self._carrier, self._ledger)
        wallet, price = visit.paying_wallet(), self._table_price(visit)
        costs = wallet is not None or price > 0
        if (reply := await self._paid_before(visit, costs=costs)) is not None:
            return reply
        if price:
            return await self._finish(visit, self._count(visit, price))
        answer = await self._carrier.send_unpaid(visit)
        if answer.status == PAYMENT_REQUIRED and wallet is not None:
            return await self._pay(visit, wallet, answer)
        return (await self._deliver(visit, answer, None)).reply

    async def _paid_before(self, visit: Visit, *, costs: bool) -> Reply | None:
        """What was paid for already: a job, an answer that nobody took, one that has a key."""
        if (job := await self._paid_job(visit)) is not None:
            return await self._jobs.asked(visit, job)
        if (kept := self._unclaimed.claim(visit)) is not None:
            return await self._join(visit, *kept)
        if costs and (old := await self._keeping.answered_before(visit)) is not None:
            return await self._replay(visit, *old)
        return None

    async def _pay(self, visit: Visit, wallet: Wallet, answer: Answer) -> Reply:
        """Pay what a 402 asks for, unless the identical request has a payment in doubt already."""
        terms = await read_terms(visit, wallet, answer)
        if isinstance(terms, bytes):
            return whole(visit, answer, terms, None)
        if isinstance(terms, Refusal):
            raise Refused(terms)
        if (again := await self._in_doubt(visit, wallet)) is not None:
            return await self._finish(visit, self._ask_again(visit, *again))
        return await self._finish(visit, self._buy(visit, wallet, terms))

    async def _finish(self, visit: Visit, work: Coroutine[Any, Any, Delivered]) -> Reply:
        """Do paid work to its end; if the client goes, its answer is kept for the next who asks."""
        hung_up = partial(self._keeping.hung_up, visit)
        delivered = await self._shield.finish(self._kept(visit, work), hung_up)
        return await self._followed(visit, delivered)

    async def _kept(self, visit: Visit, work: Coroutine[Any, Any, Delivered]) -> Delivered:
        return await self._keeping.keep(visit, await work)

    async def _join(self, visit: Visit, first: Visit, task: asyncio.Future[Delivered]) -> Reply:
        """Give an identical request the answer that was paid for when its client hung up."""
        visit.close()
        delivered = await self._shield.wait(task, partial(self._keeping.hung_up, first))
        visit.story.update(first.story, joined=True)
        return await self._followed(visit, await self._keeping.keep(first, delivered))

    async def _replay(self, visit: Visit, answer: KeptAnswer, payment: str) -> Reply:
        """Answer again what was answered under this key; a job is asked after as before."""
        visit.story.update(payment=payment, replayed=True)
        headers = (*answer.headers, (b"Farebox-Replayed", b"1"))
        reply = Reply(answer.status, answer.reason, headers, answer.body or b"")
        job = await self._ledger.job_of(payment)
        return await self._followed(visit, Delivered(reply, job=job))

    async def _followed(self, visit: Visit, delivered: Delivered) -> Reply:
        """The reply to a submission waits for its job; any other is there already."""
        if delivered.job is None:
            return delivered.reply
        return await self._jobs.follow(visit, delivered.job, delivered.reply)

    async def _in_doubt(self, visit: Visit, wallet: Wallet) -> tuple[Purchase, Headers] | None:
        """The payment of an identical request whose outcome is unknown, to be shown once more.

        It is the one that counts already, so it costs nothing anew. Where the provider documents
        that its errors take nothing, only one that was never answered is shown again. One that is
        being shown belongs to a request at the same time, which is a purchase of its own.
        """
        fresh = visit.config.after_refusal == "fresh"
        while True:
            stored = await self._ledger.in_doubt(
                visit.fingerprint, TOO_LATE_S, unanswered=fresh, but=frozenset(self._shown)
            )
            if stored is None:
                return None
            if stored.payment not in self._shown:
                break
        again = self._payer.again(visit, wallet, stored)
        if again is not None:
            self._shown.add(stored.payment)
        return again

    async def _ask_again(self, visit: Visit, purchase: Purchase, headers: Headers) -> Delivered:
        """Send once more with the payment that was sent before: one nonce settles once."""
        price = usd_of(purchase.amount, purchase.decimals)
        try:
            if any(price > limit.usd for limit in visit.call_limits):
                message = "the open payment for this is above the call's cap"
                raise Refused(Refusal("cap_call", message))
            visit.story.update(payment=purchase.id, usd=format_usd(price), again=True)
            answer = await self._send_paid(visit, purchase, headers, again=True)
            self._payer.answered(purchase, answer)
        finally:
            self._shown.discard(purchase.id)
        return await self._deliver(visit, answer, purchase)

    async def _buy(self, visit: Visit, wallet: Wallet, terms: Terms) -> Delivered:
        """Reserve, sign, send once more, and read what came of it."""
        is_job = visit.lore.starts_paid_job(visit.request.method, visit.request.path)
        purchase, headers = await self._payer.authorize(
            visit, wallet, terms, visit.lifetime_s(is_job=is_job)
        )
        visit.story.update(
            payment=purchase.id, usd=format_usd(terms.price), pay_to=terms.offer.pay_to
        )
        answer = await self._send_paid(visit, purchase, headers)
        self._payer.answered(purchase, answer, more_to_come=is_job and answer.status == ACCEPTED)
        return await self._deliver(visit, answer, purchase)

    async def _count(self, visit: Visit, price: Usd) -> Delivered:
        """Count a call that the price table prices, send it, and judge it by its status."""
        purchase = await self._payer.count(visit, price)
        visit.story.update(payment=purchase.id, usd=format_usd(price))
        answer = await self._send_paid(visit, purchase, ())
        self._payer.priced_answered(purchase, answer.status)
        return await self._deliver(visit, answer, purchase)

    async def _send_paid(
        self, visit: Visit, purchase: Purchase, headers: Headers, *, again: bool = False
    ) -> Answer:
        """Let the payment leave.

        Only a connection that was never made gives it back, and not if it has left before.
        """
        try:
            return await self._carrier.send(visit, headers)
        except NeverSentError as problem:
            if not again:
                await self._payer.never_sent(purchase)
            raise unreachable(visit.provider, problem) from problem
        except BrokenError as problem:
            self._payer.lost(purchase, "no answer")
            raise broken(visit.provider, problem, purchase.id) from problem
        except BaseException:
            self._payer.lost(purchase, "the daemon stopped waiting")
            raise

    async def _deliver(self, visit: Visit, answer: Answer, purchase: Purchase | None) -> Delivered:
        """Hand the answer on as it came.

        A JSON answer is read first where it may hold links, ids or a receipt.
        """
        if not _is_read_first(visit, answer, purchase):
            return Delivered(streamed(visit, answer, purchase), purchase)
        try:
            body, is_whole = await answer.read(ANSWER_BYTES_MAX)
        except BrokenError as problem:
            raise broken(
                visit.provider, problem, None if purchase is None else purchase.id
            ) from problem
        if not is_whole:
            return Delivered(streamed(visit, answer, purchase, body), purchase)
        answer.close()
        fields = json_answer(plain_body(answer.headers, body) or b"")
        self._payer.read_body(purchase, visit, answer, fields)
        job = await self._remember(visit, answer, fields, purchase)
        return Delivered(whole(visit, answer, body, purchase), purchase, job)

    async def _remember(
        self, visit: Visit, answer: Answer, fields: dict[str, Any], purchase: Purchase | None
    ) -> Memory | None:
        """Store the ids that an answer gives out before the client hears of them.

        Give back the paid job among them.
        """
        if answer.status not in _SUCCESS:
            return None
        request = visit.request
        payment = purchase.id if purchase is not None and purchase.signed else None
        memories = [
            Memory(
                id=given.id,
                kind=given.kind,
                provider=visit.provider,
                model=given.model,
                poll_path=given.poll_url,
                payment=payment if given.kind == "job" else None,
                client=request.client,
            )
            for given in visit.lore.given_out(request.method, request.path, visit.fields, fields)
        ]
        if not memories:
            return None
        await self._ledger.remember(memories)
        return next((memory for memory in memories if memory.payment is not None), None)

    async def _paid_job(self, visit: Visit) -> Memory | None:
        """The paid job that a GET asks after, if it is one."""
        job = job_id(visit.request.path)
        if job is None or visit.request.method != "GET":
            return None
        known = await self._ledger.recall("job", job)
        return next(
            (m for m in known if m.provider == visit.provider and m.payment is not None), None
        )

    def _table_price(self, visit: Visit) -> Usd:
        price = priced_by_table(visit) if visit.key is not None else Usd(0)
        if isinstance(price, Refusal):
            raise Refused(price)
        return price


def _is_read_first(visit: Visit, answer: Answer, purchase: Purchase | None) -> bool:
    """Whether an answer is read before it is handed on.

    JSON of a sane size, of a call that we paid for or gave a key.

    One that cost nothing streams, unless its declared length says that it is short and there
    already.
    """
    keyed = visit.key is not None
    if (visit.config.pay is None and not keyed) or visit.request.method == "HEAD":
        return False
    media = (get(answer.headers, b"content-type") or b"").split(b";")[0].strip().lower()
    if media != b"application/json" and not media.endswith(b"+json"):
        return False
    length = get(answer.headers, b"content-length")
    if length is None:
        return purchase is not None or keyed
    return length.isdigit() and int(length) <= ANSWER_BYTES_MAX
