"""A video in the common shape, made by a provider that has a shape of its own.

The submission is written anew as the provider's native call and made as any such call is: its price
counted, its id remembered before the client hears of it. What comes back is BlockRun's shape, with
the provider's own answer under one key. A job made so, or by a native call, is asked after through
the common path for as long as its provider knows it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply, get
from proxy.core.paths import JOBS
from proxy.core.videos import VideoProgress, accepted, finished
from proxy.delivery import Delivered
from proxy.jobs import note
from proxy.media.native import native_video
from proxy.media.performing import Perform, Performed
from proxy.providers.lore import NativeCall
from proxy.replies import json_reply, told_of_payment
from proxy.store import Ledger, Memory
from proxy.visit import Visit

_SUCCESS: Final = range(200, 300)


class Videos:
    """Submits and polls videos of providers that do not speak the common shape.

    `noted` hears that the end of one was written down.
    """

    def __init__(self, ledger: Ledger, perform: Perform, noted: Callable[[], None]) -> None:
        self._ledger = ledger
        self._perform = perform
        self._noted = noted

    def native(self, visit: Visit) -> NativeCall | None:
        """The native call that a request of the common shape stands for; None if it is none.

        Refused for what the provider's own call cannot express.
        """
        if (visit.request.method, visit.request.path) != ("POST", JOBS):
            return None
        call = native_video(visit.fields, visit.config)
        if isinstance(call, Refusal):
            raise Refused(call)
        return call

    async def submit(self, visit: Visit, call: NativeCall) -> Delivered:
        """Make the call, and answer 202 with the job, or with the provider's own refusal."""
        done = await self._perform(visit, call)
        given = visit.lore.given_out(call.method, call.path, call.body or {}, done.fields)
        jobs = [each for each in given if each.kind == "job"]
        if done.status not in _SUCCESS or not jobs:
            return Delivered(done.reply, done.purchase)
        job = Memory(jobs[0].id, "job", visit.provider, jobs[0].model, jobs[0].poll_url)
        progress = visit.lore.video_progress(done.status, done.fields)
        document = accepted(
            job.id,
            job.model,
            progress or VideoProgress("queued"),
            visit.provider,
            done.fields,
            read_duration_s(visit),
        )
        visit.story["job"] = job.id
        return Delivered(_reply(202, document, done.reply.headers), done.purchase, job)

    async def poll(self, visit: Visit, job: Memory) -> tuple[Reply, bool]:
        """Ask after a job once, and say whether that was the end of it."""
        done = await self._perform(visit, visit.lore.video_poll(job.id))
        progress = visit.lore.video_progress(done.status, done.fields)
        if progress is None:
            return self._no_news(visit, job, done)
        if progress.status in ("queued", "in_progress"):
            await note(self._ledger, replace(job, state=progress.status))
            document = accepted(job.id, job.model, progress, visit.provider, done.fields, None)
            return _reply(202, document, done.reply.headers), False
        result = visit.lore.video_result(job.id)
        if result is not None:
            done = await self._perform(visit, result)
            progress = progress.concluded(visit.lore.video_outcome(done.status, done.fields))
            if done.status in visit.lore.passing_statuses or not progress.is_final:
                return self._no_news(visit, job, done)
        document = finished(job.id, job.model, progress, visit.provider, done.fields)
        reply = _reply(200, document, ())
        kept = reply.body if isinstance(reply.body, bytes) else None
        await note(self._ledger, replace(job, state=progress.status, answer=kept))
        self._noted()
        return reply, True

    def _no_news(self, visit: Visit, job: Memory, done: Performed) -> tuple[Reply, bool]:
        """What is no state of the job: a limit or a fault to come back after, or a plain no."""
        if done.status not in visit.lore.passing_statuses and done.status not in _SUCCESS:
            return done.reply, True
        progress = VideoProgress("queued" if job.state in ("", "queued") else "in_progress")
        document = accepted(job.id, job.model, progress, visit.provider, done.fields, None)
        return _reply(202, document, done.reply.headers), False


def read_duration_s(visit: Visit) -> int | None:
    """How long a clip a request asks for, where it says so."""
    value = visit.fields.get("duration_seconds")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _reply(status: int, document: dict[str, Any], headers: Headers) -> Reply:
    """A common answer; of `headers`, the native one's, it tells the pace and the payment again."""
    reply = json_reply(status, document)
    pace = get(headers, b"retry-after")
    if pace is not None:
        reply.headers = (*reply.headers, (b"Retry-After", pace))
    return told_of_payment(reply, headers)
