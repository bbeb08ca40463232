"""Sunra's queue: submit, look, stream, fetch, cancel."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.faults import Stage, seconds
from proxy.sandbox.files import Files
from proxy.sandbox.pace import Pace
from proxy.sandbox.site import Site
from proxy.sandbox.sunra.assets import ArkAssets
from proxy.sandbox.sunra.inputs import MODELS, check
from proxy.sandbox.sunra.words import refuse
from proxy.sandbox.wire import Json, event, read_object, reply

SUBMITS_A_SECOND: Final = 10
SUBMITS_A_MINUTE: Final = 100

_FAILURES: Final = {
    "unsafe_content": (
        "moderation_blocked",
        "The prediction may contain sensitive or restricted content and has been suppressed.",
    ),
    "service_provider_error": ("provider_failed", "Predict failed. Please try again."),
    "cancelled": ("cancelled", "The prediction was cancelled."),
}


@dataclass(slots=True)
class Prediction:
    """One request in the queue; `failure` is the code it will end with, None for a success."""

    id: str
    created_at: float
    failure: str | None
    done_at: float


class Queue:
    """The queue's routes."""

    def __init__(self, site: Site, assets: ArkAssets, files: Files) -> None:
        self._site = site
        self._assets = assets
        self._files = files
        self._predictions: dict[str, Prediction] = {}
        self._paces = (
            Pace(SUBMITS_A_SECOND, 1, site.clock),
            Pace(SUBMITS_A_MINUTE, 60, site.clock),
        )

    async def submit(self, request: web.Request) -> web.Response:
        """`POST /v1/queue/{model-id}`."""
        if any(pace.wait_s("organization") for pace in self._paces):
            return refuse(request, 403, "Rate limit exceeded")
        model = request.match_info["model"]
        if model not in MODELS:
            return refuse(request, 404, f"Model {model} not found", "MODEL_NOT_FOUND")
        body = await read_object(request)
        if body is None:
            return refuse(request, 400, "body must be a JSON object")
        wrong = check(model, body, self._assets.status_of)
        if wrong is not None:
            return refuse(request, 400, wrong.message, wrong.code)
        now = self._site.clock()
        failure = self._failure(request, str(body["prompt"]))
        done_at = now + self._site.options.job_s
        prediction = Prediction(ids.sunra_prediction(), now, failure, done_at)
        self._predictions[prediction.id] = prediction
        return reply({"request_id": prediction.id, **self._urls(prediction)})

    async def status(self, request: web.Request) -> web.Response:
        """`GET /v1/queue/requests/{id}/status`."""
        prediction = self._predictions.get(request.match_info["id"])
        if prediction is None:
            return refuse(request, 404, "Request not found")
        return reply(self._status(prediction))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/queue/requests/{id}/status/stream`: one event for each change, until the end."""
        prediction = self._predictions.get(request.match_info["id"])
        if prediction is None:
            return refuse(request, 404, "Request not found")
        pause_s = seconds(request) if self._site.faults.take(request, Stage.BODY) else 0.0
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while (status := self._status(prediction))["status"] != "COMPLETED":
            await response.write(event(status))
            await self._change(prediction, str(status["status"]))
            await asyncio.sleep(pause_s)
        await response.write(event(status))
        await response.write_eof()
        return response

    async def result(self, request: web.Request) -> web.Response:
        """`GET /v1/queue/requests/{id}`."""
        prediction = self._predictions.get(request.match_info["id"])
        if prediction is None:
            return refuse(request, 404, "Request not found")
        if self._state(prediction) != "COMPLETED":
            return refuse(request, 400, "Prediction is not completed", "PREDICTION_NOT_COMPLETED")
        if prediction.failure is not None:
            details = self._error(prediction, prediction.failure)
            return refuse(request, 400, str(details["message"]), "PREDICTION_FAILED", details)
        return reply({"video": {"url": self._files.link(f"{prediction.id}.mp4")}})

    async def cancel(self, request: web.Request) -> web.Response:
        """`PUT /v1/queue/requests/{id}/cancel`."""
        prediction = self._predictions.get(request.match_info["id"])
        if prediction is None:
            return refuse(request, 404, "Request not found")
        if self._state(prediction) == "COMPLETED":
            return refuse(request, 400, "Prediction is already completed", "ALREADY_COMPLETED")
        prediction.failure, prediction.done_at = "cancelled", self._site.clock()
        return reply({"success": True})

    def _failure(self, request: web.Request, prompt: str) -> str | None:
        fault = self._site.faults.take(request, Stage.JOB)
        if fault == "unsafe_content" or "[unsafe]" in prompt:
            return "unsafe_content"
        return "service_provider_error" if fault or "[fail]" in prompt else None

    def _state(self, prediction: Prediction) -> str:
        now = self._site.clock()
        if now >= prediction.done_at:
            return "COMPLETED"
        half_s = self._site.options.job_s / 2
        return "IN_QUEUE" if now < prediction.created_at + half_s else "IN_PROGRESS"

    def _status(self, prediction: Prediction) -> Json:
        state = self._state(prediction)
        body: Json = {"status": state, "request_id": prediction.id}
        if state == "IN_QUEUE":
            body["queue_position"] = self._ahead_of(prediction)
        if state == "COMPLETED":
            body["success"] = prediction.failure is None
            if prediction.failure is not None:
                body["error"] = self._error(prediction, prediction.failure)
        return body | {"response_url": self._urls(prediction)["response_url"]}

    def _ahead_of(self, prediction: Prediction) -> int:
        older = (p for p in self._predictions.values() if p.created_at < prediction.created_at)
        return sum(self._state(other) == "IN_QUEUE" for other in older)

    def _error(self, prediction: Prediction, code: str) -> Json:
        reason, message = _FAILURES[code]
        return {
            "code": code,
            "message": message,
            "reason": reason,
            "retryable": code == "service_provider_error",
            "timestamp": ids.iso_ms(prediction.done_at),
        }

    def _urls(self, prediction: Prediction) -> dict[str, str]:
        base = f"{self._site.origin}/v1/queue/requests/{prediction.id}"
        return {
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    async def _change(self, prediction: Prediction, state: str) -> None:
        """Wait until a prediction has left a state; cancelling it is a change too."""
        step_s = min(0.05, self._site.options.job_s / 4)
        while self._state(prediction) == state:  # noqa: ASYNC110 - the clock has no event
            await asyncio.sleep(step_s)
