"""What several rooms say in their own words.

JSON of ours, and refusals where a provider does not answer.
"""

import json
from typing import Any

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply
from proxy.upstream import BrokenError, NeverSentError, TimedOutError


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


def json_answer(body: bytes) -> dict[str, Any]:
    """A JSON object's top level; empty for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
