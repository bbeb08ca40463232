"""What goes over the wire: the requests of each kind of call, and the provider's ready answers."""

from dataclasses import dataclass
from typing import Final

from tests.exchange.provider import asks, b64, receipt, response

BODY: Final = b'{"model":"bench/echo","prompt":"' + b"x" * 2000 + b'"}'
JSON_TYPE: Final = ("Content-Type", "application/json")
FREE: Final = "/free"
PAID: Final = "/paid"
PAYMENT: Final = b64({"x402Version": 2, "payload": "x" * 900})
"""As long as a real one, for the requests that go to the provider directly."""

ANSWER: Final = response("200 OK", JSON_TYPE, body=b'{"answer":"' + b"y" * 200 + b'"}')
CHALLENGE: Final = asks()
PAID_ANSWER: Final = response(
    "200 OK", JSON_TYPE, receipt(), body=b'{"answer":"' + b"z" * 500 + b'"}'
)


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a call, and the status that it must get."""

    method: str
    path: str
    status: int
    body: bytes = b""
    payment: str = ""

    def on(self, port: int) -> bytes:
        """The request's bytes, to whoever listens on this port of loopback."""
        return head(self.method, self.path, port, len(self.body), self.payment) + self.body


CALLS: Final = {
    "get": (Step("GET", f"{FREE}/get", 200),),
    "post": (Step("POST", f"{FREE}/post", 200, BODY),),
    "paid": (Step("POST", f"{PAID}/post", 200, BODY),),
    "paid-by-hand": (
        Step("POST", f"{PAID}/post", 402, BODY),
        Step("POST", f"{PAID}/post", 200, BODY, PAYMENT),
    ),
}
"""Each kind of call: a sequence of requests on one connection."""


def head(method: str, path: str, port: int, length: int = 0, payment: str = "") -> bytes:
    """The head of a request as a plain client writes it."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: bench",
        "Accept: */*",
    ]
    if length:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    if payment:
        lines.append(f"PAYMENT-SIGNATURE: {payment}")
    return "\r\n".join((*lines, "", "")).encode()


def split_head(data: bytes) -> tuple[bytes, int] | None:
    """A message's head and where its body begins; None while the head is not whole."""
    end = data.find(b"\r\n\r\n")
    return None if end < 0 else (data[:end], end + 4)


def content_length(message_head: bytes) -> int:
    """The declared length; 0 for none. Nothing here is chunked."""
    _, found, rest = message_head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0
