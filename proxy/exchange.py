"""The story of one request, from a safe path to a reply.

    a call of OpenAI's shape: written as the common one that it stands for, and told in its words
    receive: find the route, keep the body where it may be sent twice, find the provider
    paid for before: a job, an answer that nobody took, one under a key
    send
    not a 402: stream it back
    a 402: `checkout`, the story of one payment
    a job: wait for it

From the reservation to the receipt the work is shielded from the client: one that hangs up neither
takes a payment back nor is taken for the provider's failure.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from proxy.carrier import Carrier
from proxy.checkout import Checkout, Work
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply, Request
from proxy.core.links import ANSWER_BYTES_MAX
from proxy.core.money import Usd
from proxy.core.paths import ENROL, JOBS
from proxy.core.routing import asked_job
from proxy.delivery import Delivered, Delivery
from proxy.jobs import Jobs
from proxy.keeping import Keeping
from proxy.media.callback import Callback
from proxy.media.clips import Clips
from proxy.media.openai_videos import OpenAIVideos
from proxy.media.performing import Performed
from proxy.media.portraits import Portraits
from proxy.media.sessions import Sessions
from proxy.media.videos import Videos
from proxy.media.watching import Pace
from proxy.media.watching_people import News, between_s
from proxy.mirror import Mirror
from proxy.payer import PAYMENT_REQUIRED, Payer
from proxy.providers.lore import NativeCall
from proxy.quote import dry_run, priced_by_table, wants_dry_run
from proxy.reception import Reception
from proxy.replies import broken, json_answer, plain_body
from proxy.shield import AbandonedError, Shield, result_of
from proxy.store import KeptAnswer, Ledger, LedgerUnavailableError, Memory
from proxy.unclaimed import Unclaimed
from proxy.upstream import BrokenError
from proxy.visit import Snapshot, Visit


class Exchange:
    """Serves requests, each under the config of its moment."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        carrier: Carrier,
        payer: Payer,
        mirror: Mirror,
        spool_dir: Path,
    ) -> None:
        self._ledger = ledger
        self._carrier = carrier
        self._delivery = Delivery(ledger, payer)
        self._checkout = Checkout(ledger, carrier, payer, self._delivery)
        self._spool_dir = spool_dir
        self._shield = Shield()
        self._unclaimed = Unclaimed()
        self._keeping = Keeping(ledger, self._shield, self._unclaimed)
        self._videos = Videos(ledger, self.perform, mirror.poke)
        self._clips = Clips(mirror)
        self._openai = OpenAIVideos(snapshot, ledger, self._serve, self._clips.serve, spool_dir)
        self._portraits = Portraits(ledger, self.perform)
        news = News()
        self._sessions = Sessions(ledger, self.perform, news, Pace(between_s=between_s))
        self.callback = Callback(ledger, self._shield, news.tell)
        self._reception = Reception(snapshot, ledger, spool_dir)
        self._jobs = Jobs(ledger, carrier, payer, self._shield, self._videos.poll, mirror.poke)

    async def serve(self, request: Request) -> Reply:
        """Serve one request; `Refused` says why not.

        Cancelled, it finishes what is paid for, and nothing else.
        """
        try:
            return await self._openai.serve(request) or await self._serve(request)
        except LedgerUnavailableError as problem:
            raise Refused(
                Refusal("ledger_unavailable", f"nothing is signed: {problem}")
            ) from problem

    async def _serve(self, request: Request) -> Reply:
        """Serve one request in the shape in which it came."""
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
        if isinstance(reply.body, bytes):
            visit.close()
        reply.story = visit.story
        return reply

    async def drain(self, timeout_s: float) -> None:
        """Wait for paid requests whose clients have gone."""
        await self._shield.drain(timeout_s)
        self._unclaimed.close()

    async def _walk(self, visit: Visit) -> Reply:
        enrolment = self._portraits.native(visit)
        opening = self._sessions.native(visit)
        native = enrolment or opening or self._videos.native(visit)
        if enrolment is not None:
            await self._sessions.vouch(visit)
        if wants_dry_run(visit.request):
            called = visit if native is None else visit.aside(native, self._spool_dir)
            taken = None if enrolment is None else await self._portraits.in_the_way(visit)
            return await dry_run(called, self._carrier, self._ledger, taken)
        if enrolment is not None:
            return await self._portraits.follow(visit, await self._enrol(visit, enrolment))
        if opening is not None:
            return await self._open(visit)
        told = await self._sessions.serve(visit) or await self._portraits.serve(visit)
        if told is not None:
            return told
        if native is not None:
            known = await self._paid_before(visit, costs=True)
            return known or await self._finish(visit, self._videos.submit(visit, native))
        return await self._pass_on(visit)

    async def _enrol(self, visit: Visit, call: NativeCall) -> Reply:
        known = await self._paid_before(visit, costs=True)
        return known or await self._finish(visit, self._portraits.enrol(visit, call))

    async def _open(self, visit: Visit) -> Reply:
        """Open a session, though its client hangs up: whoever asks again finds it in the book."""
        work = self._sessions.open(visit)
        let_go = partial(_let_go, visit)
        return (await self._shield.finish(work, lambda task: task.add_done_callback(let_go))).reply

    async def _pass_on(self, visit: Visit) -> Reply:
        """Send a request as it came, and pay for it if that is asked."""
        wallet, price = visit.paying_wallet(), self._table_price(visit)
        costs = wallet is not None or price > 0
        if (reply := await self._paid_before(visit, costs=costs)) is not None:
            return reply
        if price:
            return await self._finish(visit, self._checkout.count(visit, price))
        answer = await self._carrier.send_unpaid(visit)
        if answer.status == PAYMENT_REQUIRED and wallet is not None:
            work = await self._checkout.sale(visit, wallet, answer)
            return work if isinstance(work, Reply) else await self._finish(visit, work)
        return (await self._delivery.hand_on(visit, answer, None)).reply

    async def perform(self, visit: Visit, call: NativeCall) -> Performed:
        """Make a native call on behalf of a visit, as a client's own is made, and read it whole."""
        native = visit.aside(call, self._spool_dir)
        delivered = await self._performed(native)
        reply = delivered.reply
        try:
            body = await _read_out(reply, ANSWER_BYTES_MAX)
        except BrokenError as problem:
            payment = None if delivered.purchase is None else delivered.purchase.id
            raise broken(native.provider, problem, payment) from problem
        plain = plain_body(reply.headers, body) or b""
        reply.body = body
        return Performed(
            reply.status, reply.headers, json_answer(plain), body, reply, delivered.purchase
        )

    async def _performed(self, native: Visit) -> Delivered:
        if (price := self._table_price(native)) or _is_bound(native):
            return await self._checkout.count(native, price)
        answer = await self._carrier.send_unpaid(native)
        wallet = native.paying_wallet()
        if answer.status != PAYMENT_REQUIRED or wallet is None:
            return await self._delivery.hand_on(native, answer, None)
        work = await self._checkout.sale(native, wallet, answer)
        return Delivered(work) if isinstance(work, Reply) else await work

    async def _paid_before(self, visit: Visit, *, costs: bool) -> Reply | None:
        """What was paid for already: a job, an answer that nobody took, one that has a key."""
        if (job := await self._paid_job(visit)) is not None:
            return await self._jobs.asked(visit, job)
        if (kept := self._unclaimed.claim(visit)) is not None:
            return await self._join(visit, *kept)
        if costs and (old := await self._keeping.answered_before(visit)) is not None:
            return await self._replay(visit, *old)
        return None

    async def _finish(self, visit: Visit, work: Work) -> Reply:
        """Do paid work to its end; if the client goes, its answer is kept for the next who asks."""
        hung_up = partial(self._keeping.hung_up, visit)
        delivered = await self._shield.finish(self._kept(visit, work), hung_up)
        return await self._followed(visit, delivered)

    async def _kept(self, visit: Visit, work: Work) -> Delivered:
        return await self._keeping.keep(visit, await work)

    async def _join(self, visit: Visit, first: Visit, task: asyncio.Future[Delivered]) -> Reply:
        """Give an identical request the answer that was paid for when its client hung up."""
        visit.close()
        delivered = await self._shield.wait(task, partial(self._keeping.hung_up, first))
        visit.story.update(first.story, joined=True)
        delivered = await self._keeping.keep(first, delivered)
        return await self._followed(visit, replace(delivered, job=await self._news(delivered.job)))

    async def _news(self, job: Memory | None) -> Memory | None:
        """A job as it is known by now: somebody else may have seen its end."""
        if job is None:
            return None
        known = await self._ledger.recall("job", job.id)
        return next((each for each in known if each.provider == job.provider), job)

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
        try:
            reply = await self._jobs.follow(visit, delivered.job, delivered.reply)
        except asyncio.CancelledError:
            self._keeping.offer(visit, delivered)  # its job is paid for: for who asks again
            raise
        reply.undelivered = partial(self._keeping.offer, visit, delivered)
        return reply

    async def _paid_job(self, visit: Visit) -> Memory | None:
        """The job that a GET asks after, if it is one that is asked after in a way of its own."""
        job = asked_job(visit.request.path)
        if job is None or visit.request.method != "GET":
            return None
        known = await self._ledger.recall("job", job)
        own = (m for m in known if m.provider == visit.provider)
        return next((m for m in own if m.payment is not None or visit.lore.translates), None)

    def _table_price(self, visit: Visit) -> Usd:
        price = priced_by_table(visit)
        if isinstance(price, Refusal):
            raise Refused(price)
        return price


def _is_bound(native: Visit) -> bool:
    """Whether a call that costs nothing here is one that its client named, and is made once.

    It begins a video or a portrait: a payment of nothing is what its key is bound to.
    """
    if native.asked is None or native.key is None or native.idempotency_key is None:
        return False
    if native.paying_wallet() is not None:
        return False  # it may cost something: its 402 says
    begins = native.asked.request.path in (JOBS, ENROL)
    return begins and native.request.method == "POST"


def _let_go(visit: Visit, task: asyncio.Future[Delivered]) -> None:
    """Nobody waits for this answer any more."""
    result_of(task)
    visit.close()


async def _read_out(reply: Reply, bytes_max: int) -> bytes:
    """All of a reply's body; BrokenError where it breaks off, or is longer than is sane."""
    if isinstance(reply.body, bytes):
        return reply.body
    read = bytearray()
    async for chunk in reply.body:
        read += chunk
        if len(read) > bytes_max:
            aclose = getattr(reply.body, "aclose", None)
            if aclose is not None:
                await aclose()
            raise BrokenError(f"its answer is longer than {bytes_max} bytes")
    return bytes(read)
