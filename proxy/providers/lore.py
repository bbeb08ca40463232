"""The questions that are asked of a kind of provider.

With the answers of one about which nothing is known.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Final

from proxy.core.errors import Refusal
from proxy.core.paths import JOBS
from proxy.core.videos import VideoProgress, VideoRequest, segment
from proxy.providers.answers import common_progress

JsonObject = Mapping[str, Any]


_NAMING: Final = range(200, 300)
"""Answers whose words say how far a job is."""


class JobStatus(Enum):
    """How far a job is, by one answer to a poll."""

    RUNNING = "running"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class GivenOut:
    """An id that an answer gave out. `kind` is `job` or `asset`.

    `poll_url` is as the provider wrote it, where it wrote one.
    """

    kind: str
    id: str
    model: str = ""
    poll_url: str = ""


@dataclass(frozen=True, slots=True)
class NativeCall:
    """A provider's own call, written by the daemon. `path` and `query` are percent-encoded.

    A submission without a query of its own is made with the client's.
    """

    method: str
    path: str
    body: JsonObject | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a client wants enrolled; a group is a verified person's.

    `body` is all that it sent, for a kind whose own shape that is.
    """

    name: str
    image_url: str
    body: JsonObject
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """What an answer says of one portrait: its id, and `processing`, `active` or `failed`."""

    id: str
    status: str
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What a client wants of a real person's verification.

    `group_id` is the person's group, where an earlier try was given one.
    """

    name: str
    callback_url: str | None = None
    lang: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A link for somebody's phone, for how long it lives, and the person's group if it is known."""

    link: str
    expires_in_s: int
    group_id: str | None = None


class Lore:
    """What is known of a kind; each kind overrides what it documents."""

    translates: ClassVar[bool] = False
    """Whether the common shape has to be written anew for it."""

    passing_statuses: ClassVar[frozenset[int]] = frozenset({408, 425, 429, *range(500, 600)})
    """Answers to a poll after which one asks again."""

    portrait_models: ClassVar[tuple[str, ...]] = ()
    """The models that take a portrait; a kind that has none enrols none."""

    calls_back: ClassVar[bool] = False
    """Whether a verification ends with the phone at a `callback_url`."""

    def model_of(self, method: str, path: str, fields: JsonObject) -> str | None:
        """The model that a call would run, for the price table."""
        model = fields.get("model")
        return model if isinstance(model, str) and method == "POST" else None

    def starts_paid_job(self, method: str, path: str) -> bool:
        """Whether a call starts a job whose polls carry the payment of its submission."""
        return False

    def given_out(
        self, method: str, path: str, fields: JsonObject, answer: JsonObject
    ) -> tuple[GivenOut, ...]:
        """The ids that a successful answer gives out."""
        return ()

    def settled_tx(self, answer: JsonObject) -> str | None:
        """The transaction that a JSON answer claims to have settled.

        Empty where it claims one without naming it.
        """
        return None

    def job_status(self, http_status: int) -> JobStatus:
        """How far a polled job is, for the payment that its polls carry."""
        return JobStatus.RUNNING if http_status in (202, 429, 504) else JobStatus.FINAL

    def job_is_over(self, http_status: int, answer: JsonObject) -> bool:
        """Whether an answer to a poll is the last one: an end that it names, or a plain no.

        A page that is no answer, or a state that nobody knows, may be another one soon.
        """
        if http_status in _NAMING:
            progress = common_progress(http_status, answer)
            return progress is not None and progress.is_final
        return http_status not in self.passing_statuses

    def video_call(
        self, request: VideoRequest, extra: Collection[str]
    ) -> NativeCall | Refusal | None:
        """The call that submits a video; None for a kind that speaks the common shape itself.

        `extra` are the undocumented fields that the config allows.
        """
        return None

    def video_poll(self, job: str) -> NativeCall:
        """The call that asks how far a video is."""
        return NativeCall("GET", f"{JOBS}/{segment(job)}")

    def video_result(self, job: str) -> NativeCall | None:
        """The call that fetches what came of a video, where its status does not say it."""
        return None

    def video_progress(self, http_status: int, answer: JsonObject) -> VideoProgress | None:
        """How far a video is; None for an answer that does not say it."""
        return common_progress(http_status, answer)

    def video_outcome(self, http_status: int, answer: JsonObject) -> VideoProgress:
        """What came of a video, by the answer to `video_result`.

        In progress where that answer is no outcome: ask again.
        """
        return common_progress(http_status, answer) or VideoProgress("in_progress")

    def enrolment(self, wanted: Enrolment) -> NativeCall | Refusal | None:
        """The call that enrols a portrait; None where none does."""
        return None

    def portrait_poll(self, id_: str) -> NativeCall | None:
        """The call that says how far a portrait is; None where none does."""
        return None

    def portrait_removal(self, id_: str) -> NativeCall | None:
        """The call that deletes a portrait; None where none does."""
        return None

    def likeness(self, answer: JsonObject) -> Likeness | None:
        """The portrait that an enrolment or a poll answers with."""
        return None

    def session_call(self, wanted: Verification) -> NativeCall | Refusal | None:
        """The call that begins a real person's verification; None where none does."""
        return None

    def session_opened(self, answer: JsonObject) -> Opened | None:
        """The link that such a call was answered with; None for an answer without a usable one."""
        return None

    def session_poll(self, group_id: str) -> NativeCall | None:
        """The call that says whether a person is verified; None where none does."""
        return None

    def session_verified(self, answer: JsonObject) -> bool:
        """Whether the answer to such a poll says that the person is verified."""
        return False

    def wallet_list(self, what: str, address: str) -> NativeCall | None:
        """The call that lists what a wallet enrolled: its `portraits` or its `realfaces`."""
        return None


NO_LORE = Lore()
