"""The questions that are asked of a kind of provider.

With the answers of one about which nothing is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

JsonObject = Mapping[str, Any]


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


class Lore:
    """What is known of a kind; each kind overrides what it documents."""

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
        """How far a polled job is."""
        return JobStatus.RUNNING if http_status in (202, 429, 504) else JobStatus.FINAL


NO_LORE = Lore()
