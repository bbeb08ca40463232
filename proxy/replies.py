"""What several rooms say in their own words.

JSON of ours, and refusals where a provider does not answer.
"""

import json
from typing import Any, Final

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply, get
from proxy.core.links import ANSWER_BYTES_MAX
from proxy.inflate import inflate
from proxy.upstream import BrokenError, NeverSentError, TimedOutError

PLAIN_BYTES_MAX: Final = 4 * ANSWER_BYTES_MAX
"""What an answer of the largest size that is read may unpack to."""

_PAYMENT: Final = b"farebox-payment"


def unreachable(provider: str, problem: NeverSentError) -> Refused:
    """No connection was made: nothing left, nothing was paid."""
    return Refused(Refusal("upstream_unreachable", f"{provider} cannot be reached: {problem}"))


def broken(provider: str, problem: BrokenError, payment: str | None = None) -> Refused:
    """The connection broke or fell silent; after paying, that leaves the payment's outcome open."""
    if payment is not None:
        message = (
            f"{provider} was paid and gave no whole answer ({problem}); "
            "the payment counts as taken until it is known"
        )
        return Refused(Refusal("payment_outcome_unknown", message, payment=payment))
    if isinstance(problem, TimedOutError):
        return Refused(Refusal("upstream_timeout", f"{provider} did not answer: {problem}"))
    return Refused(Refusal("upstream_unreachable", f"{provider} broke off: {problem}"))


def json_reply(status: int, document: object) -> Reply:
    """A whole JSON answer of our own."""
    body = json.dumps(document).encode()
    headers = ((b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body)))
    return Reply(status, "", headers, body)


def told_of_payment(reply: Reply, headers: Headers) -> Reply:
    """The reply, with what an earlier answer's headers tell of its payment; its own goes before."""
    paid = get(headers, _PAYMENT)
    if paid is not None and get(reply.headers, _PAYMENT) is None:
        reply.headers = (*reply.headers, (_PAYMENT.title(), paid))
    return reply


def plain_body(headers: Headers, body: bytes) -> bytes | None:
    """An answer's body with its content encoding undone; None for an encoding unknown here."""
    encoding = (get(headers, b"content-encoding") or b"identity").strip().lower()
    return inflate(body, encoding, PLAIN_BYTES_MAX)


def json_answer(body: bytes) -> dict[str, Any]:
    """A provider's JSON object; empty for anything else.

    What JSON's grammar does not know, as NaN, is null in it, and half of a surrogate pair, which
    JSON can escape and nobody can write down, a question mark: what was paid for is handed on, and
    written down, in words that anybody can read.
    """
    try:
        document = json.loads(body, parse_constant=lambda _: None)
        if b"\\u" in body:
            text = json.dumps(document, ensure_ascii=False)
            document = json.loads(text.encode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def json_fields(body: bytes) -> dict[str, Any]:
    """A client's JSON object, as it is; empty for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
