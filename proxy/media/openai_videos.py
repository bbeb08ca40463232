"""OpenAI's shape for videos, as an adapter at the top of the exchange.

    serve: is it one of these calls, and is it ours to answer?
    create, show: write the common request, have it served, say its answer in OpenAI's words;
      HEAD asks nobody, and is answered from the ledger
    content: ask after the job first, then hand over its clip
    list: the ledger's jobs

It pays nothing, routes nothing and remembers nothing by itself: the request that it writes goes the
way of any other of the common shape, so caps, portraits, keys, dry runs and what is promised to who
asks twice are the same. What is written depends on the fields alone, so that the same fields are
the same request, whatever a form's boundary is. A refusal, and any answer that tells of no job,
goes through as it is.

OpenAI's client repeats by itself what fails. Where a repeat cannot be told from another purchase,
because a key pays and no authorization can be shown again, it is told not to.

A route to a service of the config's own (`kind: http`) is left alone: its `/v1/videos` is its own.
So is one that is not the common path's too, for the caps and the provider are those of the route.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from proxy.core.config import AUTO, Config
from proxy.core.errors import NO_ANSWER, Refusal, Refused
from proxy.core.http import OF_A_BODY, Headers, Reply, Request, get, without
from proxy.core.links import ANSWER_BYTES_MAX
from proxy.core.openai_answers import clip_link, is_status, listed, remembered, video
from proxy.core.openai_requests import (
    Asked,
    Call,
    is_adapted,
    read_call,
    read_create,
    read_page,
)
from proxy.core.paths import JOBS
from proxy.core.routing import Decision, Signs, decide, find_route, fixed
from proxy.core.videos import segment
from proxy.media.forms import read_fields
from proxy.replies import broken, json_answer, json_reply, plain_body
from proxy.spool import Spool
from proxy.store import Ledger, LedgerUnavailableError, Memory, memory
from proxy.upstream import BrokenError
from proxy.visit import Snapshot
from proxy.waiting import pace_between_s

Serve = Callable[[Request], Awaitable[Reply]]
ServeClip = Callable[[Request, str, str, str], Awaitable[Reply]]
"""Hands over a clip: the request, the provider, the job, the link to it there."""

_FAULT: Final = 500
_ACCEPTED: Final = 202
"""Who answers so works on it, in whatever words."""
_TOLD: Final = (200, _ACCEPTED)
"""The statuses with which a common answer tells of a job."""
_RUNNING: Final = ("queued", "in_progress")
_OF_THE_BODY: Final = OF_A_BODY | {b"transfer-encoding", b"expect"}
_OF_THE_ANSWER: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
    }
)
"""What a client asks of the answer that it gets, not of the one that is read here."""
_OF_ANOTHER_BODY: Final = _OF_THE_BODY | {b"etag", b"last-modified", b"accept-ranges", b"vary"}
_RECEIPTS: Final = (
    b"farebox-payment",
    b"payment-response",
    b"x-payment-response",
    b"x-payment-receipt",
)
"""What tells that the poll before a download took the money."""
_POLL_AFTER: Final = b"openai-poll-after-ms"
"""OpenAI's client polls every second unless this says otherwise, and each poll is a provider's."""

_ABOUT_REPEATS: Final = frozenset({b"x-should-retry"})
_NO_REPEAT: Final[Headers] = ((b"X-Should-Retry", b"false"),)
"""Read by OpenAI's clients, which else repeat every 5xx, twice."""


@dataclass(frozen=True, slots=True)
class Told:
    """A common answer; `fields` is its JSON object where it may tell of a job."""

    reply: Reply
    fields: dict[str, Any]

    @property
    def provider(self) -> str:
        """Who served it."""
        return str(self.reply.story.get("provider", ""))

    def dropped(self) -> None:
        """Have what was paid for kept: this answer does not reach its client."""
        if self.reply.undelivered is not None:
            self.reply.undelivered()


class OpenAIVideos:
    """Answers the calls of OpenAI's shape."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        serve: Serve,
        clip: ServeClip,
        spool_dir: Path,
    ) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._serve = serve
        self._clip = clip
        self._spool_dir = spool_dir

    async def serve(self, request: Request) -> Reply | None:
        """Answer a request of this shape; None for any other. `Refused` says why not."""
        call = read_call(request.method, request.path)
        if call is None or not is_adapted(self._snapshot().config, request.path):
            return None
        if isinstance(call, Refusal):
            raise Refused(call)
        if call.what == "create":
            return await self._create(request)
        if call.what == "list":
            return await self._list(request)
        return await (self._show if call.what == "show" else self._content)(request, call)

    async def _create(self, request: Request) -> Reply:
        asked = read_create(await read_fields(request))
        if isinstance(asked, Refusal):
            raise Refused(asked)
        body = json.dumps(asked.fields, sort_keys=True).encode()
        told = await self._ask(self._common(request, "POST", JOBS, body), asked)
        job = told.fields.get("id")
        if told.reply.status >= _FAULT and not self._is_paid(told.provider):
            headers = (*without(told.reply.headers, _ABOUT_REPEATS), *_NO_REPEAT)
            return replace(told.reply, headers=headers)
        if not isinstance(job, str) or not job:
            return told.reply
        return await self._said(told, job, asked)

    async def _show(self, request: Request, call: Call) -> Reply:
        return await self._said(await self._known_of(request, call), call.job)

    async def _content(self, request: Request, call: Call) -> Reply:
        variant = dict(parse_qsl(request.query or "")).get("variant", "video")
        if variant != "video":
            message = "variant: the video itself is all that there is of one"
            raise Refused(Refusal("field_not_supported", message))
        told = await self._known_of(replace(request, query=None), call)
        if video(call.job, told.fields) is None:
            return told.reply
        link = clip_link(told.fields)
        if link is None:
            refused = Refused(_no_clip(told))
            refused.story = told.reply.story
            raise refused
        reply = await self._clip(request, told.provider, call.job, link)
        receipts = tuple(h for h in told.reply.headers if h[0].lower() in _RECEIPTS)
        reply.headers = (*reply.headers, *receipts)
        reply.story = told.reply.story | reply.story
        return reply

    async def _list(self, request: Request) -> Reply:
        page = read_page(dict(parse_qsl(request.query or "", keep_blank_values=True)))
        if isinstance(page, Refusal):
            raise Refused(page)
        found = await self._ledger.read(
            partial(
                memory.dated_jobs,
                limit=page.limit + 1,
                after=page.after,
                newest_first=page.newest_first,
            )
        )
        if found is None:
            raise Refused(Refusal("bad_request", "after: no job of this id is known here"))
        videos = [
            video(
                job.id,
                remembered(job.state, json_answer(job.answer or b"")),
                model=job.model,
                created_at=created_at,
            )
            for job, created_at in found[: page.limit]
        ]
        document = listed([v for v in videos if v is not None], has_more=len(found) > page.limit)
        return json_reply(200, document)

    def _common(self, request: Request, method: str, path: str, body: bytes) -> Request:
        """The request of the common shape that stands for one of this shape."""
        headers = without(request.headers, _OF_THE_BODY | _OF_THE_ANSWER)
        if body:
            headers = without(headers, frozenset({b"prefer"}))
            headers = (
                *headers,
                (b"Content-Type", b"application/json"),
                (b"Content-Length", b"%d" % len(body)),
                (b"Prefer", b"respond-async"),
            )
        spool = Spool.of(self._spool_dir, body)
        return replace(request, method=method, path=path, headers=headers, body=spool)

    async def _known_of(self, request: Request, call: Call) -> Told:
        """What is known of a job. HEAD never pays, and asking may: it hears what is remembered."""
        common = self._common(request, "GET", f"{JOBS}/{segment(call.job)}", b"")
        if request.method != "HEAD":
            return await self._ask(common)
        known = await self._ledger.recall("job", call.job)
        owner = _owner(
            self._snapshot().config, common, {call.job: tuple(j.provider for j in known)}
        )
        if isinstance(owner, Refusal):
            raise Refused(owner)
        job = next((each for each in known if each.provider == owner.provider), None)
        if job is None:
            message = f"no job {call.job!a} is known here, and HEAD asks nobody: GET does"
            raise Refused(Refusal("job_unknown", message))
        fields = remembered(job.state, json_answer(job.answer or b""))
        story: dict[str, object] = {"provider": job.provider, "job": job.id}
        return Told(Reply(200, "", (), b"", story), dict(fields))

    async def _ask(self, common: Request, asked: Asked | None = None) -> Told:
        """Have a common request served, and read an answer that may tell of a job."""
        try:
            reply = await self._serve(common)
            body = await _read(reply) if reply.status in _TOLD else None
        except Refused as refused:
            if asked is not None:
                refused.refusal = asked.explained(refused.refusal)
                refused.headers = self._advice(refused)
            raise
        if body is None:
            return Told(reply, {})
        if not isinstance(body, bytes):
            return Told(replace(reply, body=body), {})
        fields = json_answer(plain_body(reply.headers, body) or b"")
        if reply.status == _ACCEPTED and not is_status(fields.get("status")):
            fields["status"] = "in_progress"
        return Told(replace(reply, body=body), fields)

    def _advice(self, refused: Refused) -> Headers:
        """Have OpenAI's client not repeat by itself what nobody would recognise as a repeat.

        What got no answer may have reached its provider: a payment that is in doubt is shown again,
        but a call that a key pays for would be made again.
        """
        is_paid = self._is_paid(str(refused.story.get("provider")))
        return () if is_paid or refused.refusal.code not in NO_ANSWER else _NO_REPEAT

    def _is_paid(self, name: str) -> bool:
        """Whether a provider is paid by x402, so that a repeat can show what is in doubt."""
        provider = self._snapshot().config.providers.get(name)
        return provider is not None and provider.pay is not None

    async def _said(self, told: Told, job: str, asked: Asked | None = None) -> Reply:
        """A common answer in OpenAI's words; one that tells of no job as it is."""
        if video(job, told.fields) is None:
            return told.reply
        try:
            known = await self._known(told.provider, job)
        except BaseException:
            told.dropped()
            raise
        model, created_at = (None, None) if known is None else (known[0].model, known[1])
        if created_at is None and asked is not None:
            created_at = self._ledger.now()
        document = video(job, told.fields, model=model, created_at=created_at, asked=asked)
        own = json_reply(200, document)
        headers = without(told.reply.headers, _OF_ANOTHER_BODY)
        if told.fields["status"] in _RUNNING:
            after_ms = int(pace_between_s(told.reply.headers) * 1000)
            headers = (*headers, (_POLL_AFTER, b"%d" % after_ms))
        # A new reply: the common one may have been kept for who asks again.
        return replace(
            told.reply,
            status=own.status,
            reason="",
            headers=(*own.headers, *headers),
            body=own.body,
        )

    async def _known(self, provider: str, job: str) -> tuple[Memory, int] | None:
        try:
            return await self._ledger.ask(partial(memory.dated_job, provider=provider, id_=job))
        except LedgerUnavailableError:
            return None  # what was paid for is handed over all the same


def _no_clip(told: Told) -> Refusal:
    """Why there is nothing to download, yet or at all."""
    status = told.fields["status"]
    if status in _RUNNING:
        pace_s = ceil(pace_between_s(told.reply.headers))
        return Refusal("clip_not_ready", f"the clip is {status}: ask again", retry_after_s=pace_s)
    if status == "failed":
        return Refusal("clip_unknown", "the generation failed: there is no clip")
    return Refusal("clip_unknown", "the provider says completed and names no clip")


def _owner(
    config: Config, common: Request, owners: Mapping[str, tuple[str, ...]]
) -> Decision | Refusal:
    """Whose job a common request asks after."""
    header = get(common.headers, b"farebox-provider")
    named = None if header is None else header.decode("latin-1").strip()
    route = find_route(config, common.path)
    if isinstance(route, Refusal):
        return route
    if route.provider != AUTO:
        return fixed(route, named, config)
    return decide(Signs(common.path, named, owners=owners), config)


async def _read(reply: Reply) -> bytes | AsyncIterator[bytes]:
    """All of a reply's body; one that is too long to be a job's is given back as it was."""
    source = reply.body
    if isinstance(source, bytes):
        return source
    rest = _Rest(source)
    try:
        async for chunk in source:
            rest.begun += chunk
            if len(rest.begun) > ANSWER_BYTES_MAX:
                return rest
    except BaseException as problem:
        await rest.aclose()
        if isinstance(problem, BrokenError):
            raise _broken_off(reply, problem) from problem
        raise
    return bytes(rest.begun)


def _broken_off(reply: Reply, problem: BrokenError) -> Refused:
    """A streamed answer ended too early, of a call that may have been paid."""
    payment = reply.story.get("payment")
    named = payment if isinstance(payment, str) else None
    refused = broken(str(reply.story.get("provider", "")), problem, named)
    refused.story = reply.story
    return refused


class _Rest(AsyncIterator[bytes]):
    """A stream again, of which some was read already."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.begun = bytearray()

    async def __anext__(self) -> bytes:
        if self.begun:
            begun, self.begun = bytes(self.begun), bytearray()
            return begun
        return await anext(self._source)

    async def aclose(self) -> None:
        """Let go of the stream."""
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            await aclose()
