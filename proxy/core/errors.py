"""What the daemon itself says no with: one code, one status, one sentence.

A refusal is a value. It is decided deep in the pure rules, carried up unchanged and written once,
at the door. The codes are public: clients branch on them. Faults that are not a refusal (a bug, a
full disk) are exceptions of their own.
"""

from dataclasses import dataclass
from typing import Final

STATUS: Final[dict[str, int]] = {
    "bad_request": 400,
    "bad_path": 400,
    "route_conflict": 400,
    "provider_unknown": 400,
    "field_not_supported": 400,
    "client_token": 401,
    "cap_per_request": 403,
    "cap_call": 403,
    "cap_total": 403,
    "price_unknown": 403,
    "payee_not_allowed": 403,
    "asset_not_allowed": 403,
    "network_not_allowed": 403,
    "scheme_not_supported": 403,
    "quote_jump": 403,
    "origin_refused": 403,
    "no_route": 404,
    "job_unknown": 404,
    "portrait_unknown": 404,
    "clip_unknown": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "payment_pending": 409,
    "result_not_kept": 409,
    "portrait_name_taken": 409,
    "portrait_not_verified": 409,
    "clip_not_ready": 409,
    "body_too_large": 413,
    "wrong_host": 421,
    "idempotency_mismatch": 422,
    "cap_hour": 429,
    "cap_day": 429,
    "cap_week": 429,
    "cap_month": 429,
    "cap_outstanding": 429,
    "headers_too_large": 431,
    "upstream_unreachable": 502,
    "challenge_invalid": 502,
    "poll_url_refused": 502,
    "payment_outcome_unknown": 502,
    "paused": 503,
    "ledger_unavailable": 503,
    "wallet_frozen": 503,
    "upstream_timeout": 504,
    "internal_error": 500,
}
"""Every code of the daemon's own answers and the HTTP status that goes with it."""

NO_ANSWER: Final = ("upstream_unreachable", "upstream_timeout", "payment_outcome_unknown")
"""The codes of a call that got no whole answer: they say nothing of what was asked after."""

MESSAGE_CHARS_MAX: Final = 2000
"""No message of ours is half as long; what a client wrote, and a message repeats, may be."""

_OUR_FAULT: Final = (500, 503)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the daemon does not do what was asked.

    `code` is a key of `STATUS`; `payment` is the id of the payment that stands in the way or whose
    outcome is open. `allow` is for `method_not_allowed`: the methods of that very path, where they
    are known.
    """

    code: str
    message: str
    retry_after_s: int | None = None
    payment: str | None = None
    allow: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.code not in STATUS:
            raise ValueError(f"unknown error code {self.code!r}")
        if len(self.message) > MESSAGE_CHARS_MAX:
            half = MESSAGE_CHARS_MAX // 2 - 2
            cut = f"{self.message[:half]}... {self.message[-half:]}"
            object.__setattr__(self, "message", cut)

    @property
    def status(self) -> int:
        """The HTTP status that this refusal is answered with."""
        return STATUS[self.code]

    def body(self) -> dict[str, dict[str, str]]:
        """The JSON that the client reads: `{"error": {"message", "type", "code", "payment"?}}`."""
        error = {"message": self.message, "type": self._type(), "code": self.code}
        if self.payment is not None:
            error["payment"] = self.payment
        return {"error": error}

    def _type(self) -> str:
        if self.code.startswith(
            ("cap_", "price_", "payee_", "asset_", "network_", "scheme_", "quote_")
        ):
            return "payment_refused"
        if self.status in _OUR_FAULT:
            return "daemon_error"
        return "invalid_request_error" if self.status < _OUR_FAULT[0] else "upstream_error"


class Refused(Exception):  # noqa: N818 - it carries a refusal, which is no error of ours
    """Carry a refusal up to the door from a place that cannot return one."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code}: {refusal.message}")
        self.refusal = refusal
        self.story: dict[str, object] = {}
        """What the request's log line says beside the usual, as in `Reply`."""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """Headers of the answer beside a refusal's usual ones."""
