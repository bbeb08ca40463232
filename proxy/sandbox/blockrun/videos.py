"""BlockRun's videos: verified when submitted, settled when a poll first finds them done."""

from typing import Final
from urllib.parse import quote, urlencode

from aiohttp import web

from proxy.sandbox import ids, money
from proxy.sandbox.blockrun.books import Books, Job
from proxy.sandbox.blockrun.order import Order, parse_order
from proxy.sandbox.dialect import Report
from proxy.sandbox.faults import Stage
from proxy.sandbox.files import Files
from proxy.sandbox.site import Site
from proxy.sandbox.till import Buyer, Delivery, Goods, Sale, Till
from proxy.sandbox.wire import Json, read_object, reply

CLAIMABLE_S: Final = 48 * 3600
"""How long a job waits to be polled."""

SOURCE_S: Final = 24 * 3600
"""How long the maker's own link to a clip lives; BlockRun's own stays. Made up: undocumented."""

_FAILURES: Final = {
    "unsafe_content": "The content was rejected by moderation",
    "job_failed": "Generation failed upstream",
}


class Videos:
    """Submit and poll."""

    def __init__(self, site: Site, till: Till, books: Books, files: Files, sources: Files) -> None:
        self._site = site
        self._till = till
        self._files = files
        self._sources = sources
        self._jobs = books.jobs

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/videos/generations`: check the payment, take nothing, answer 202."""
        order = parse_order(await read_object(request))
        if isinstance(order, str):
            return reply({"error": "Invalid request body", "details": order}, 400)
        sale = self._till.open(request, order.price(), f"{order.model}, {order.seconds} s")
        buyer = self._till.admit(sale)
        if isinstance(buyer, web.Response):
            return buyer
        answer = await self._till.stumble(sale)
        if answer is not None:
            return answer
        job = self._start(request, order, buyer.address, int(buyer.amount))
        return reply(self._accepted(order, job), 202)

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/videos/generations/{id}?model=…&duration=…`."""
        job = self._find(request.match_info["id"])
        if job is None:
            return reply({"error": "Job not found"}, 404)
        if any(request.query.get(key) != value for key, value in job.query.items()):
            return reply({"error": "model and duration must be those of the poll_url"}, 400)
        sale = self._till.open(request, job.price, f"Video {job.id}")
        if job.tx is not None and self._till.recognise(sale) == job.payer:
            return reply(self._completed(job, "already_settled"))
        buyer = self._till.admit(sale)
        if isinstance(buyer, web.Response):
            return buyer
        if buyer.address != job.payer:
            return self._till.ask(sale, "The payer is not the one who submitted the job")
        return await self._till.stumble(sale) or await self._progress(sale, buyer, job)

    async def _progress(self, sale: Sale, buyer: Buyer, job: Job) -> web.StreamResponse:
        if job.tx is not None:  # another poll was faster
            return reply(self._completed(job, "already_settled"))
        age_s = self._site.clock() - job.created_at
        if age_s < self._site.options.job_s:
            status = "queued" if age_s < self._site.options.job_s / 2 else "in_progress"
            return reply({"status": status, "payment_status": "verified"}, 202)
        if job.failure is not None:
            error = _FAILURES[job.failure]
            return reply({"status": "failed", "payment_status": "not_charged", "error": error})

        def keep(tx: str) -> None:
            job.tx = tx

        def goods(report: Report | None) -> Goods:
            return Goods.of(self._completed(job, "settled", report))

        return await self._till.collect(sale, buyer, Delivery(keep, goods))

    def _find(self, job_id: str) -> Job | None:
        job = self._jobs.get(job_id)
        if job is not None and self._site.clock() > job.created_at + CLAIMABLE_S:
            return None
        return job

    def _start(self, request: web.Request, order: Order, payer: str, price: int) -> Job:
        maker = "azure" if order.model.startswith("azure/") else "token360"
        job = Job(
            id=f"{maker}:vidjob_{ids.letters(12)}",
            payer=payer,
            price=price,
            created_at=self._site.clock(),
            query={"model": order.model, "duration": str(order.seconds)},
            seconds=order.seconds,
            failure=self._failure(request, order.prompt),
            extras=self._site.faults.for_poll(request) | _kept(request),
        )
        self._jobs[job.id] = job
        return job

    def _failure(self, request: web.Request, prompt: str) -> str | None:
        fault = self._site.faults.take(request, Stage.JOB)
        if fault == "unsafe_content" or "[unsafe]" in prompt:
            return "unsafe_content"
        return "job_failed" if fault or "[fail]" in prompt else None

    def _accepted(self, order: Order, job: Job) -> Json:
        query = urlencode({**job.query, **job.extras})
        return {
            "id": job.id,
            "object": "video.generation.job",
            "status": "queued",
            "model": order.model,
            "duration_seconds": order.seconds,
            "price": {"amount": money.dollars(job.price), "currency": "USD"},
            "payment_status": "verified",
            "poll_url": f"/api/v1/videos/generations/{quote(job.id, safe='')}?{query}",
        }

    def _completed(self, job: Job, status: str, report: Report | None = None) -> Json:
        done_at = job.created_at + self._site.options.job_s
        body: Json = {
            "status": "completed",
            "data": [
                {
                    "url": self._files.link(f"{job.id}.mp4"),
                    "source_url": self._sources.signed(f"{job.id}.mp4", done_at + SOURCE_S),
                    "duration_seconds": job.seconds,
                    "request_id": job.id,
                    "backed_up": True,
                }
            ],
        }
        if report is None and status == "settled":
            return body
        tx = job.tx if report is None else report.tx
        payment = {"status": status, "tx_hash": tx, "network": money.NETWORK_V1}
        return body | {"payment": payment}


def _kept(request: web.Request) -> dict[str, str]:
    """The switches of the POST that the polls must carry too, so that they ask in the same way."""
    return {key: request.query[key] for key in ("challenge",) if key in request.query}
