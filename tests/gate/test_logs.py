"""The log tells what happened and keeps every secret."""

import base64
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from proxy import logs

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
SIGNATURE = "0x" + "ab" * 65
PAYMENT = base64.b64encode(json.dumps({"x402Version": 2, "payload": "x" * 40}).encode()).decode()
TX = "0x" + "1f" * 32


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(json_lines: bool = True, level: str = "debug") -> io.StringIO:  # noqa: FBT001, FBT002 - a test's shorthand
    """Configure the log to be read by the test."""
    stream = io.StringIO()
    logs.configure(level, stream=stream, json=json_lines)
    return stream


def line_of(**fields: Any) -> dict[str, Any]:
    """Log an event and read its line."""
    stream = logged()
    structlog.get_logger().info("event", **fields)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def test_a_line() -> None:
    """A line has its event, its level, its time and what was said."""
    line = line_of(path="/v1/x", status=200, client=None)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "event",
        "level": "info",
        "path": "/v1/x",
        "status": 200,
        "client": None,
    }


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "proxy_authorization",
        "PAYMENT-SIGNATURE",
        "X-PAYMENT",
        "payment_header",
        "cookie",
        "Set-Cookie",
        "key",
        "api_key",
        "private-key",
        "token",
        "Farebox-Token",
        "secret",
        "client_secret",
        "password",
        "signature",
        "mnemonic",
    ],
)
def test_secret_by_name(name: str) -> None:
    """What is called a secret is blanked whole, whatever it is."""
    for value in ("canary", ["canary"], {"a": "canary"}, b"canary"):
        assert line_of(**{name: value})[name] == logs.BLANK


@pytest.mark.parametrize(
    "secret",
    [
        "0x" + KEY,
        KEY,
        KEY.upper(),
        SIGNATURE,
        "fbx_canary-1",
        "sk-abcdefghijklmnop1234",
        PAYMENT,
        base64.urlsafe_b64encode(PAYMENT.encode()).decode().replace("ZX", "ey", 1),
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ],
)
@pytest.mark.parametrize("wrapped", ["{}", "a {} b", "Bearer {}", '{{"x": "{}"}}', "x={}&y"])
def test_secret_by_its_looks(secret: str, wrapped: str) -> None:
    """What looks like a key, a signature, a token or a payment is blanked wherever it stands."""
    text = wrapped.format(secret)
    line = json.dumps(line_of(said=text, deep=[{"er": (text,)}], raw=text.encode(), odd={text}))
    assert secret not in line
    assert logs.BLANK in line


def test_what_is_public_is_told() -> None:
    """Transactions, hashes, addresses, ids and amounts are what one reads a log for."""
    fields = {
        "tx": TX,
        "config_sha256": KEY,
        "nonce": TX,
        "pay_to": "0x" + "5f" * 20,
        "payment": "pay_0123456789",
        "usd": "0.50",
    }
    assert fields.items() <= line_of(**fields).items()


def test_signature_is_no_hash() -> None:
    """Under a public name too a signature is blanked."""
    assert line_of(tx=SIGNATURE)["tx"] == logs.BLANK


def test_nesting_ends() -> None:
    """What is nested without end is blanked at some depth instead of followed."""
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert logs.BLANK in json.dumps(line_of(loop=loop))


def fail(said: str = f"bad key 0x{KEY}") -> None:
    """Fail with a secret in the message and another in a local variable."""
    local_canary = "canary" + "-of-a-local"
    if local_canary:
        raise ValueError(said)


@pytest.mark.parametrize("json_lines", [True, False])
def test_traceback_tells_where_and_no_values(json_lines: bool) -> None:  # noqa: FBT001 - a parameter
    """A traceback says where it happened, without local variables and without keys."""
    stream = logged(json_lines)
    try:
        fail()
    except ValueError as failure:
        structlog.get_logger().exception("oops", exc_info=failure)
    text = stream.getvalue()
    assert "in fail" in text
    assert "bad key" in text
    assert KEY not in text
    assert "canary-of-a-local" not in text


def test_libraries_log_the_same_way() -> None:
    """What a library says through logging is a line like ours, redacted too."""
    stream = logged()
    logging.getLogger("lib").warning("key %s", KEY, extra={})
    try:
        fail()
    except ValueError:
        logging.getLogger("lib").exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["logger"]) == (
        f"key {logs.BLANK}",
        "warning",
        "lib",
    )
    assert "in fail" in second["exception"]
    assert KEY not in stream.getvalue()


def test_level() -> None:
    """What is below the level is not written, ours and the libraries'."""
    stream = logged(level="warning")
    structlog.get_logger().info("ours")
    logging.getLogger("lib").info("theirs")
    assert stream.getvalue() == ""
    structlog.get_logger().warning("ours")
    assert "ours" in stream.getvalue()


def test_terminal_gets_lines_for_people() -> None:
    """On a terminal, or when asked, lines are for reading, and no less redacted."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.configure(stream=stream)
    structlog.get_logger().info("said", token="canary", path="/v1/x")
    text = stream.getvalue()
    assert "canary" not in text
    assert "/v1/x" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


ESCAPES = ["\x1b]0;PWN\x07", "\x9b31m", "\x7f", "\u202e", "\u200f", "\ud800", "\r", "\n", "\x00"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_what_a_terminal_would_obey(escape: str) -> None:
    """It is written out, whoever brought it and wherever it stands; the line stays one line."""
    stream = logged(json_lines=False)
    canary = f"a{escape}z"
    structlog.get_logger().info(canary, job=canary, deep=[{canary: canary}], **{canary: 1})
    logging.getLogger(canary).warning(canary)
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert ascii(escape)[1:-1] in text


def test_what_a_terminal_would_obey_in_a_traceback() -> None:
    """Its lines stay lines, and what a stranger said in them is written out."""
    stream = logged(json_lines=False)
    try:
        fail("a\x1b]0;PWN\x07\x9b\u202ez\n\tindented")
    except ValueError as failure:
        structlog.get_logger().exception("oops", exc_info=failure)
    text = stream.getvalue()
    assert "\n\tindented" in text
    assert "a\\x1b]0;PWN\\x07\\x9b\\u202ez" in text
    assert all(char.isprintable() or char in "\n\t" for char in text)


def test_words_of_other_tongues() -> None:
    """They are no escapes: people read their own names and prompts."""
    stream = logged(json_lines=False)
    structlog.get_logger().info("said", name="Zoë-李-🎬", path="/v1/x")
    assert "Zoë-李-🎬" in stream.getvalue()


def test_warnings_are_lines() -> None:
    """What Python warns of is a line like any other, and redacted like any other."""
    stream = logged()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"key {KEY}", RuntimeWarning, stacklevel=1)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert KEY not in stream.getvalue()


def test_pipe_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal the log is JSON on standard error."""
    logs.configure()
    structlog.get_logger().info("said")
    assert json.loads(capsys.readouterr().err)["event"] == "said"
