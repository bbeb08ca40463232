"""The story of one long generation.

Its submission is paid for, and its polls carry that same payment until it is done.

One authorization serves all polls of a job while it lives; it is rebuilt from its row in the
ledger, so a restart loses nothing. Only when it is dead may a new one be signed, within the same
payment, on the same or better terms. In the moment between "too late to settle" and "dead" nothing
is signed: the client is told to come back.

Polling happens only for somebody who waits. A hang-up stops it, costs nothing, and leaves the job
to be asked for by its id.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

import structlog

from proxy.carrier import Carrier
from proxy.challenges import read_terms
from proxy.checkout import TOO_LATE_S
from proxy.core.errors import NO_ANSWER, Refusal, Refused
from proxy.core.http import OF_A_BODY, Headers, Reply, without
from proxy.core.ledger import DEATH_MARGIN_S, State
from proxy.core.links import ANSWER_BYTES_MAX, rewrite_links
from proxy.core.paths import JOBS
from proxy.payer import ACCEPTED, PAYMENT_REQUIRED, Payer, Purchase
from proxy.providers import JobStatus
from proxy.relay import Relay, streamed, whole
from proxy.replies import (
    broken,
    json_answer,
    json_reply,
    plain_body,
    told_of_payment,
    unreachable,
)
from proxy.shield import Shield, result_of
from proxy.store import Ledger, LedgerUnavailableError, Memory
from proxy.upstream import Answer, BrokenError, NeverSentError
from proxy.visit import Visit
from proxy.waiting import WAIT_S, pace_between_s, preference

OK: Final = 200
_log = structlog.get_logger()
_OF_THE_BODY: Final = OF_A_BODY | {b"etag"}


Poll = Callable[[Visit, Memory], Awaitable[tuple[Reply, bool]]]
"""Asks after a job once: the answer, and whether that was the end of it."""


class Jobs:
    """Asks after jobs, for clients who wait. `noted` hears that the end of one was written down."""

    def __init__(
        self,
        ledger: Ledger,
        carrier: Carrier,
        payer: Payer,
        shield: Shield,
        poll_translated: Poll,
        noted: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._carrier = carrier
        self._payer = payer
        self._shield = shield
        self._poll_translated = poll_translated
        self._noted = noted

    async def follow(self, visit: Visit, job: Memory, accepted: Reply) -> Reply:
        """Wait for a job that was just submitted.

        Its final answer, or the last 202 when the time is up.
        """
        prefer = preference(visit.request)
        if prefer.respond_async or not _can_be_polled(visit, job):
            return accepted
        if job.answer is not None:
            return _stored(job.answer)
        wait_s = WAIT_S if prefer.wait_s is None else prefer.wait_s
        pace_s = pace_between_s(accepted.headers)
        try:
            reply = await self._wait(visit, job, accepted, wait_s, pace_s)
        except Refused as refused:
            # Who asks for the job by its id is told why; without this answer nobody has its id.
            _log.warning("job_not_followed", job=job.id, code=refused.refusal.code)
            return accepted
        return told_of_payment(_with_id(reply, accepted), accepted.headers)

    async def asked(self, visit: Visit, job: Memory) -> Reply:
        """Answer a client who asks after a job.

        The stored answer if it is done, else one poll, or as many as it waits for.
        """
        visit.story["job"] = job.id
        if job.answer is not None:
            return _stored(job.answer)
        if not _can_be_polled(visit, job):
            message = f"{visit.provider} has its job polled at another origin: {job.poll_path!a}"
            raise Refused(Refusal("poll_url_refused", message, payment=job.payment))
        prefer = preference(visit.request)
        if prefer.wait_s is not None:
            return await self._wait(visit, job, _come_back(job), prefer.wait_s, 0)
        reply, _ = await self._shielded_poll(visit, job)
        return reply

    async def _wait(
        self, visit: Visit, job: Memory, last: Reply, wait_s: float, pace_s: float
    ) -> Reply:
        """Poll at the provider's pace, first after `pace_s`.

        Slowness, 429 and 504 are no failures, nor is a poll that broke.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while (left_s := deadline - loop.time()) > 0:
            await asyncio.sleep(min(pace_s, left_s))
            try:
                reply, final = await self._shielded_poll(visit, job)
            except Refused as refused:
                if refused.refusal.code not in NO_ANSWER:
                    raise
                pace_s = pace_between_s(())
                continue
            if final:
                return reply
            pace_s = pace_between_s(reply.headers)
            last = reply if reply.status == ACCEPTED else last
        return last

    async def _shielded_poll(self, visit: Visit, job: Memory) -> tuple[Reply, bool]:
        return await self._shield.finish(
            self._poll(visit, job), lambda task: task.add_done_callback(partial(_let_go, visit))
        )

    async def _poll(self, visit: Visit, job: Memory) -> tuple[Reply, bool]:
        """Ask once, with the job's own payment, and say whether that was the end of it."""
        if visit.lore.translates:
            return await self._poll_translated(visit, job)
        payment = job.payment or ""
        wallet, url = visit.snapshot.wallet, _poll_url(visit, job) or ""
        stored = await self._ledger.live_hold(payment, TOO_LATE_S)
        if stored is None and await self._ledger.live_hold(payment, -DEATH_MARGIN_S) is not None:
            return _come_back(job), False
        again = (
            None if stored is None or wallet is None else self._payer.again(visit, wallet, stored)
        )
        purchase, headers = (None, ()) if again is None else again
        answer = await self._ask(visit, url, headers, purchase)
        if (
            answer.status == PAYMENT_REQUIRED
            and purchase is None
            and await self._may_renew(payment)
        ):
            try:
                renewed = await self._renew(visit, answer, payment)
            except Refused as refused:
                # Who renewed it at the same time may have left us no room under a cap.
                pending = refused.refusal.code == "payment_pending"
                if not pending and await self._ledger.live_hold(payment, TOO_LATE_S) is None:
                    raise
                return _come_back(job), False
            if isinstance(renewed, bytes):
                return whole(visit, answer, renewed, None), True
            purchase, headers = renewed
            answer = await self._ask_first(visit, url, headers, purchase)
        return await self._conclude(visit, job, answer, purchase)

    async def _may_renew(self, payment: str) -> bool:
        """A payment whose money was taken is never paid again."""
        return await self._ledger.state_of(payment) is not State.SETTLED

    async def _renew(
        self, visit: Visit, answer: Answer, payment: str
    ) -> tuple[Purchase, Headers] | bytes:
        """Sign once more for a poll's own 402.

        One without a challenge is given back as its body.
        """
        wallet = visit.snapshot.wallet
        if wallet is None or visit.config.pay is None or visit.route.pay_methods == ():
            answer.close()
            raise Refused(
                Refusal("no_route", f"{visit.provider} is not paid any more: the config says so")
            )
        terms = await read_terms(visit, wallet, answer)
        if isinstance(terms, Refusal):
            raise Refused(terms)
        if isinstance(terms, bytes):
            return terms
        return await self._payer.authorize(
            visit, wallet, terms, visit.lifetime_s(is_job=True), payment
        )

    async def _ask_first(
        self, visit: Visit, url: str, headers: Headers, purchase: Purchase
    ) -> Answer:
        """Ask with an authorization that has not left before: it can still be given back."""
        try:
            return await self._carrier.poll(visit, url, headers)
        except NeverSentError as problem:
            await self._payer.never_sent(purchase)
            raise unreachable(visit.provider, problem) from problem
        except BrokenError as problem:
            self._payer.lost(purchase, "no answer")
            raise broken(visit.provider, problem, purchase.id) from problem

    async def _ask(
        self, visit: Visit, url: str, headers: Headers, purchase: Purchase | None
    ) -> Answer:
        try:
            return await self._carrier.poll(visit, url, headers)
        except NeverSentError as problem:
            raise unreachable(visit.provider, problem) from problem
        except BrokenError as problem:
            raise broken(
                visit.provider, problem, None if purchase is None else purchase.id
            ) from problem

    async def _conclude(
        self, visit: Visit, job: Memory, answer: Answer, purchase: Purchase | None
    ) -> tuple[Reply, bool]:
        running = visit.lore.job_status(answer.status) is JobStatus.RUNNING
        if purchase is not None:
            self._payer.answered(purchase, answer, more_to_come=running)
        try:
            body, is_whole = await answer.read(ANSWER_BYTES_MAX)
        except BrokenError as problem:
            raise broken(visit.provider, problem, job.payment) from problem
        if not is_whole:
            return streamed(visit, answer, purchase, body), not running
        answer.close()
        plain = plain_body(answer.headers, body)
        fields = json_answer(plain or b"")
        self._payer.read_body(purchase, visit, answer, fields)
        reply = whole(visit, answer, body, purchase)
        over = visit.lore.job_is_over(answer.status, fields)
        await note(self._ledger, _news(visit, job, answer.status, fields, plain if over else None))
        if over:
            self._noted()
        return reply, over


async def note(ledger: Ledger, job: Memory) -> None:
    """Write down how far a job is; a ledger that cannot be written costs nobody the answer."""
    try:
        await ledger.remember([job])
    except LedgerUnavailableError as problem:
        _log.error("job_not_noted", job=job.id, state=job.state, problem=str(problem))


def _news(
    visit: Visit, job: Memory, status: int, fields: dict[str, Any], end: bytes | None
) -> Memory:
    """A job as an answer to its poll tells of it; `end` is the body of the last one."""
    state = fields.get("status") if status in (OK, ACCEPTED) else None
    kept = rewrite_links(end, visit.link) if end and status == OK else None
    return replace(job, state=state if isinstance(state, str) else "", answer=kept)


def _poll_url(visit: Visit, job: Memory) -> str | None:
    """The URL of a job's poll, at its provider's own origin.

    None for one that leads anywhere else.
    """
    base = urlsplit(visit.config.base_url)
    origin = f"{base.scheme}://{base.netloc}"
    url = job.poll_path
    if not url:
        return f"{visit.config.base_url}{JOBS}/{quote(job.id, safe='')}"
    if url.startswith("/") and not url.startswith("//"):
        return origin + url
    same = url.lower().startswith(f"{origin.lower()}/")
    return url if same else None


def _with_id(reply: Reply, accepted: Reply) -> Reply:
    """Have a submission's last 202 say whose it is, as its first one did: a poll's does not.

    What the poll says goes before what the submission said.
    """
    if reply is accepted or reply.status != ACCEPTED:
        return reply
    first, last = _told(accepted), _told(reply)
    if "id" in last or "id" not in first:
        return reply
    whole = json_reply(ACCEPTED, first | last)
    others = without(reply.headers, _OF_THE_BODY)
    return replace(reply, headers=(*whole.headers, *others), body=whole.body)


def _told(reply: Reply) -> dict[str, Any]:
    """The JSON object in a reply; empty where there is none to be read."""
    if not isinstance(reply.body, bytes):
        return {}
    return json_answer(plain_body(reply.headers, reply.body) or b"")


def _can_be_polled(visit: Visit, job: Memory) -> bool:
    return visit.lore.translates or _poll_url(visit, job) is not None


def _stored(answer: bytes) -> Reply:
    return Reply(OK, "OK", ((b"Content-Type", b"application/json"),), answer)


def _let_go(visit: Visit, task: asyncio.Future[tuple[Reply, bool]]) -> None:
    """Nobody waits for this poll any more."""
    polled = result_of(task)
    if polled is not None and isinstance(polled[0].body, Relay):
        polled[0].body.close()
    visit.close()


def _come_back(job: Memory) -> Reply:
    """The job's last known state, for the moment in which nothing can be signed."""
    reply = json_reply(
        202, {"id": job.id, "object": "video.generation.job", "status": job.state or "in_progress"}
    )
    reply.headers = (*reply.headers, (b"Retry-After", b"%d" % DEATH_MARGIN_S))
    return reply
