"""The daemon's own answers: refusals and JSON, never to be taken for a provider's."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from proxy.core.errors import Refusal
from proxy.core.http import Header, Headers, Reply
from proxy.gate.answer import phrase
from proxy.gate.guard import METHODS

_TOKEN_WANTED: Final = (b"WWW-Authenticate", b'Bearer realm="farebox"')


def refusal_reply(refusal: Refusal, request_id: str) -> Reply:
    """Write a refusal as the client reads it: JSON, and its code in `Farebox-Error`."""
    headers: list[Header] = [
        (b"Farebox-Error", refusal.code.encode()),
        (b"Farebox-Request-Id", request_id.encode()),
    ]
    if refusal.retry_after_s is not None:
        headers.append((b"Retry-After", b"%d" % refusal.retry_after_s))
    # What RFC 9110 wants beside a status: sections 15.5.6 and 15.5.2.
    if refusal.code == "method_not_allowed":
        allowed = METHODS if refusal.allow is None else refusal.allow
        headers.append((b"Allow", ", ".join(allowed).encode()))
    if refusal.code == "client_token":
        headers.append(_TOKEN_WANTED)
    reply = json_reply(refusal.status, refusal.body(), tuple(headers))
    reply.story["error"] = refusal.code
    if refusal.payment is not None:
        reply.story["payment"] = refusal.payment
    return reply


def json_reply(status: int, document: Mapping[str, object], headers: Headers = ()) -> Reply:
    """Write a JSON document of ours; it is about this moment and is not to be kept."""
    body = json.dumps(document, ensure_ascii=False).encode(errors="replace") + b"\n"
    own = (
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
    )
    return Reply(status, phrase(status), (*own, *headers), body)


def overloaded_reply() -> Reply:
    """Turn a connection away: there are too many. It is no request yet, and so has no id."""
    error = {"message": "too many connections are open", "type": "overloaded", "code": "overloaded"}
    headers = ((b"Farebox-Error", b"overloaded"), (b"Retry-After", b"1"))
    return json_reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": error}, headers)
