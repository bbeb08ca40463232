"""PomexAI's video generations: create, poll, cancel."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.faults import Stage
from proxy.sandbox.files import Files
from proxy.sandbox.pomex.assets import Assets
from proxy.sandbox.pomex.words import refuse
from proxy.sandbox.site import Site
from proxy.sandbox.wire import Json, read_object, reply

MODELS: Final = ("byteplus/seedance-2.0", "byteplus/seedance-2.0-fast")
ASSET: Final = "asset://"
SIGNED_S: Final = 24 * 3600
"""How long the link to a clip lives once the clip is there; asking again lengthens nothing."""

_FAILURES: Final = {
    "unsafe_content": "The content was rejected by moderation.",
    "job_failed": "The generation failed.",
}


@dataclass(slots=True)
class Task:
    """One generation; `failure` is the name of what it will end with, None for a success."""

    id: str
    model: str
    created_at: float
    failure: str | None
    is_cancelled: bool = False


class Generations:
    """The generation routes."""

    def __init__(self, site: Site, assets: Assets, files: Files) -> None:
        self._site = site
        self._assets = assets
        self._files = files
        self._tasks: dict[str, Task] = {}

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/video/generations`."""
        body = await read_object(request)
        if body is None:
            return refuse(400, "body must be valid JSON")
        model, content = body.get("model"), body.get("content")
        if model not in MODELS:
            return refuse(400, f"model must be {' or '.join(MODELS)}")
        if not isinstance(content, list) or not content:
            return refuse(400, "content is required")
        problem = next((text for part in content if (text := self._problem(part))), None)
        if problem is not None:
            return refuse(400, problem)
        now = self._site.clock()
        prompt = " ".join(str(part["text"]) for part in content if part["type"] == "text")
        task = Task(ids.pomex("cgt", now), str(model), now, self._failure(request, prompt))
        self._tasks[task.id] = task
        return reply(
            {
                "id": task.id,
                "object": "video.generation.task",
                "model": task.model,
                "status": "queued",
            }
        )

    async def get(self, request: web.Request) -> web.Response:
        """`GET /v1/video/generations/{task_id}`."""
        task = self._tasks.get(request.match_info["id"])
        if task is None:
            return refuse(404, "Resource not found")
        return reply(self._shown(task))

    async def cancel(self, request: web.Request) -> web.Response:
        """`DELETE /v1/video/generations/{task_id}`."""
        task = self._tasks.get(request.match_info["id"])
        if task is None:
            return refuse(404, "Resource not found")
        if self._status(task) not in {"queued", "running"}:
            return refuse(400, f"task is already {self._status(task)}")
        task.is_cancelled = True
        return reply(self._shown(task))

    def _problem(self, part: object) -> str | None:
        match part:
            case {"type": "text", "text": str()}:
                return None
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                return self._asset_problem(url)
        return "content must be a list of text and image_url parts"

    def _asset_problem(self, url: str) -> str | None:
        if not url.startswith(ASSET):
            return None if url.startswith("https://") else "image_url must be a valid https URL"
        status = self._assets.status_of(url.removeprefix(ASSET))
        return None if status == "active" else f"{url} is {status or 'unknown'}, not active"

    def _failure(self, request: web.Request, prompt: str) -> str | None:
        fault = self._site.faults.take(request, Stage.JOB)
        if fault is not None:
            return fault
        if "[unsafe]" in prompt:
            return "unsafe_content"
        return "job_failed" if "[fail]" in prompt else None

    def _status(self, task: Task) -> str:
        if task.is_cancelled:
            return "cancelled"
        age_s, job_s = self._site.clock() - task.created_at, self._site.options.job_s
        if age_s >= job_s:
            return "succeeded" if task.failure is None else "failed"
        return "queued" if age_s < job_s / 2 else "running"

    def _shown(self, task: Task) -> Json:
        status = self._status(task)
        body: Json = {"id": task.id, "object": "video.generation.task", "status": status}
        if status == "succeeded":
            ends_at = task.created_at + self._site.options.job_s + SIGNED_S
            film = self._files.signed(f"{task.id}.mp4", ends_at)
            return body | {"content": {"video_url": film}}
        if status == "failed":
            code = task.failure or "job_failed"
            return body | {"error": {"message": _FAILURES[code], "type": code}}
        return body
