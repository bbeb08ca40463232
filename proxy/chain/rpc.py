"""JSON-RPC out: what a node answers, whole and well-formed, or one kind of error.

A node is a stranger: it may be down, slow, endless or lie. Here it gets a deadline and a size, and
its answers must be the answers to our questions. Its URL holds an API key as often as not, so no
message, no repr and no traceback of ours has it, and what the node says of itself is not repeated.
"""

import asyncio
import json
from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from proxy.core.strict_json import NotStrictJson, loads

DEADLINE_S: Final = 15.0
"""For one exchange, from connecting to the last byte."""

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""Thousands of log entries; a node that has more to say is asked for fewer blocks."""

IDLE_S: Final = 5
"""Connections are kept for the exchanges of one look; by the next one the node has closed them."""

CONNECTIONS_MAX: Final = 8

Call = tuple[str, list[Any]]
"""A method and its parameters."""


class Trouble(StrEnum):
    """Why a node's word does not count, now. A closed set, fit for labels."""

    UNREACHABLE = "unreachable"
    SLOW = "slow"
    HTTP_STATUS = "http_status"
    REFUSED = "refused"
    """It answered with an error."""
    NO_BATCHES = "no_batches"
    """It will not take so many questions at a time."""
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    WRONG_CHAIN = "wrong_chain"
    BEHIND = "behind"
    AHEAD = "ahead"
    CONTRADICTION = "contradiction"
    """It says one thing and another."""
    LEDGER = "ledger"
    """Not the node's trouble: what it says cannot be written down."""


class ChainUnavailableError(Exception):
    """The chain has not spoken: nothing may be concluded, neither for us nor against us."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def open_session() -> aiohttp.ClientSession:
    """A session for nodes alone: no cookies, no proxies from the environment, no inflating."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
    )


class Node:
    """One endpoint. The caller has seen to it that it is https, or on this machine."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, deadline_s: float = DEADLINE_S
    ) -> None:
        self._session = session
        self._url = url
        self._deadline_s = deadline_s

    async def ask(self, call: Call) -> object:
        """Ask one thing. Whatever goes wrong is a ChainUnavailableError."""
        status, document = await self._exchange(_question(0, call))
        return _answers(document, 1, status)[0]

    async def ask_together(self, calls: Sequence[Call]) -> list[object]:
        """Ask several things in one exchange; the answers come in the order of the questions."""
        status, document = await self._exchange(
            [_question(number, call) for number, call in enumerate(calls)]
        )
        if not isinstance(document, list) and status != HTTPStatus.OK:
            raise ChainUnavailableError(Trouble.NO_BATCHES, "the node takes no batch like this")
        if isinstance(document, dict) and "error" in document:
            raise ChainUnavailableError(Trouble.NO_BATCHES, "the node takes no batch like this")
        return _answers(document, len(calls), status)

    async def _exchange(self, question: object) -> tuple[int, object]:
        """Send JSON and read JSON: the status and the document, None where an error has none."""
        status, body = await self._post(json.dumps(question, separators=(",", ":")).encode())
        if status != HTTPStatus.OK and status not in _SPEAKING:
            raise ChainUnavailableError(Trouble.HTTP_STATUS, f"the node answered HTTP {status}")
        try:
            return status, loads(body)
        except NotStrictJson:
            if status != HTTPStatus.OK:
                return status, None
            raise ChainUnavailableError(
                Trouble.MALFORMED, "the node's answer is no proper JSON"
            ) from None

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                self._session.post(self._url, data=body, allow_redirects=False) as response,
            ):
                return response.status, await _bounded(response)
        except TimeoutError:
            message = f"the node did not answer within {self._deadline_s:g} s"
            raise ChainUnavailableError(Trouble.SLOW, message) from None
        except (aiohttp.ClientError, OSError):
            # What they say names the URL.
            message = "the node cannot be reached, or broke off"
            raise ChainUnavailableError(Trouble.UNREACHABLE, message) from None


_SPEAKING: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
"""Statuses with which nodes say that a question is too much for them; others are no answer."""


def _question(number: int, call: Call) -> dict[str, Any]:
    method, parameters = call
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            response.close()
            raise ChainUnavailableError(Trouble.TOO_LARGE, "the node's answer has no end")
        parts.append(part)
    return b"".join(parts)


def _answers(document: object, count: int, status: int) -> list[object]:
    """The results by their questions' numbers: each must be there, once, and nothing else."""
    items = document if isinstance(document, list) else [document]
    results: dict[int, object] = {}
    for item in items:
        if not isinstance(item, dict):
            raise _malformed(status)
        if item.get("error") is not None:
            raise ChainUnavailableError(Trouble.REFUSED, _refusal(item["error"]))
        number = item.get("id")
        if type(number) is not int or number in results or "result" not in item:
            raise _malformed(status)
        results[number] = item["result"]
    if status != HTTPStatus.OK or sorted(results) != list(range(count)):
        raise _malformed(status)
    return [results[number] for number in range(count)]


def _malformed(status: int) -> ChainUnavailableError:
    if status != HTTPStatus.OK:
        return ChainUnavailableError(Trouble.HTTP_STATUS, f"the node answered HTTP {status}")
    return ChainUnavailableError(
        Trouble.MALFORMED, "the node's answer is none to what it was asked"
    )


def _refusal(error: object) -> str:
    """What may be repeated of a node's error: its code, if it has one."""
    code = error.get("code") if isinstance(error, dict) else None
    return f"the node answered with error {code}" if type(code) is int else "the node refused"
