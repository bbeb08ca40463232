"""A node that a test owns: a small chain over real HTTP, and any lie about it.

The chain has a block every two seconds from `START` on, as many as `safe` says are safe, and
remembers what happened to nonces. Left alone it tells the truth, as strictly as a good node does;
`lies` replaces its answers by method, `spoils` the whole answer.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from eth_utils.crypto import keccak

from proxy.core.x402.assets import BUILT_IN
from proxy.core.x402.authorization import domain_separator
from tests.store.books import SHOP, START, USDC, WALLET

NETWORK: Final = "eip155:8453"
CHAIN_ID: Final = 8453
BLOCK_S: Final = 2
FIRST: Final = 1_000_000
"""The number of the block whose time is START."""

DOMAIN: Final = next(domain_separator(asset) for asset in BUILT_IN if asset.network == NETWORK)
Json = dict[str, Any]
Lie = Callable[[list[Any]], Any]
Spoiler = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


class RpcError(Exception):
    """What the node answers with an error."""

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


@dataclass
class FakeNode:
    """The node; `exchanges` counts HTTP requests, `asked` lists the methods with their parameters.

    `span_max` refuses longer ranges of blocks, `questions_max` larger batches.
    """

    url: str = ""
    chain_id: int = CHAIN_ID
    safe: int = FIRST
    safe_tags: tuple[str, ...] = ("safe", "finalized")
    span_max: int = 10**9
    questions_max: int = 10**9
    log: list[Json] = field(default_factory=list)
    over: dict[bytes, int] = field(default_factory=dict)
    lies: dict[str, Lie] = field(default_factory=dict)
    spoils: Spoiler | None = None
    exchanges: int = 0
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)

    def safe_at(self, time: float) -> None:
        """Make the newest block before a time the safe one."""
        self.safe = FIRST + int(time - START) // BLOCK_S

    def use(
        self, nonce: bytes, amount: int | None = 1, pay_to: str = SHOP, *, block: int | None = None
    ) -> str:
        """Use a nonce, now or earlier, and move the money (None for none); the transaction."""
        tx = self._end("AuthorizationUsed(address,bytes32)", nonce, block)
        if amount is not None:
            topics = [_topic("Transfer(address,address,uint256)"), padded(WALLET), padded(pay_to)]
            self._write(topics, f"0x{amount:064x}", tx, block)
        return tx

    def cancel(self, nonce: bytes, *, block: int | None = None) -> str:
        """Take a nonce back; the transaction."""
        return self._end("AuthorizationCanceled(address,bytes32)", nonce, block)

    def honest(self, method: str, parameters: list[Any]) -> Any:
        """The truth."""
        match method, parameters:
            case "eth_chainId", []:
                return hex(self.chain_id)
            case "eth_getBlockByNumber", [which, False]:
                return self._block(which)
            case "eth_getLogs", [query]:
                return self._logs(query)
            case "eth_call", [{"to": to, "data": data}, at]:
                return self._call(to, data, int(at, 16))
        raise RpcError("the method does not exist", -32601)

    def answer(self, question: Json) -> Json:
        """Answer one question, or lie."""
        method, parameters = question["method"], question["params"]
        self.asked.append((method, parameters))
        envelope = {"jsonrpc": "2.0", "id": question["id"]}
        try:
            if method in self.lies:
                return envelope | {"result": self.lies[method](parameters)}
            return envelope | {"result": self.honest(method, parameters)}
        except RpcError as problem:
            return envelope | {"error": problem.error}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one exchange."""
        self.exchanges += 1
        document = await request.json()
        if isinstance(document, list) and len(document) > self.questions_max:
            return web.json_response({"error": {"code": -32600, "message": "batch too large"}})
        whole = (
            [self.answer(question) for question in document]
            if isinstance(document, list)
            else (self.answer(document))
        )
        if self.spoils is not None:
            return await self.spoils(request, whole)
        return web.json_response(whole)

    def methods(self) -> list[str]:
        """The methods that were asked for, in order."""
        return [method for method, _ in self.asked]

    def _block(self, which: str) -> Json | None:
        if which in ("safe", "finalized", "latest"):
            if which not in self.safe_tags:
                raise RpcError("invalid block tag", -32602)
            number = self.safe - (500 if which == "finalized" else 0)
        else:
            number = int(which, 16)
        return block(number) if number <= self.safe + 30 else None

    def _logs(self, query: Json) -> list[Json]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first + 1 > self.span_max:
            raise RpcError("query returns more than 10000 results", -32005)
        kinds, owner = query["topics"]
        return [
            entry
            for entry in self.log
            if first <= int(entry["blockNumber"], 16) <= last
            and entry["topics"][0] in kinds
            and entry["topics"][1] == owner
            and entry["address"] == query["address"].lower()
        ]

    def _call(self, to: str, data: str, at: int) -> str:
        if at > self.safe + 30:
            raise RpcError("header not found")
        if to.lower() != USDC.lower():
            return "0x"
        if data == "0x3644e515":
            return "0x" + DOMAIN.hex()
        assert data.startswith("0xe94a0102"), data
        block = self.over.get(bytes.fromhex(data[-64:]))
        return f"0x{int(block is not None and block <= at):064x}"

    def _end(self, signature: str, nonce: bytes, block: int | None) -> str:
        tx = "0x" + keccak(nonce + bytes([len(self.log)])).hex()
        self.over[nonce] = self.safe if block is None else block
        self._write([_topic(signature), padded(WALLET), "0x" + nonce.hex()], "0x", tx, block)
        return tx

    def _write(self, topics: list[str], data: str, tx: str, block: int | None) -> None:
        number = self.safe if block is None else block
        self.log.append(
            {
                "address": USDC.lower(),
                "topics": topics,
                "data": data,
                "blockNumber": hex(number),
                "transactionHash": tx,
                "removed": False,
            }
        )


def block(number: int, **changes: Any) -> Json:
    """A block as a node shows it."""
    time = START + (number - FIRST) * BLOCK_S
    honest = {"number": hex(number), "hash": f"0x{number:064x}", "timestamp": hex(time)}
    return honest | changes


def padded(address: str) -> str:
    """An address as an indexed word."""
    return "0x" + address.removeprefix("0x").lower().rjust(64, "0")


@asynccontextmanager
async def running(node: FakeNode, path: str = "/v2/A-SECRET-KEY") -> AsyncIterator[FakeNode]:
    """Serve a node on a free port; connections are cut when the block ends."""
    app = web.Application(client_max_size=2**24)
    app.router.add_post(path, node.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        node.url = f"http://127.0.0.1:{port}{path}"
        yield node
    finally:
        await runner.cleanup()


def saying(text: str | bytes, status: int = 200, header: tuple[str, str] = ("X-Y", "")) -> Spoiler:
    """Answer each exchange with the same."""
    body = text.encode() if isinstance(text, str) else text

    async def spoil(_: web.Request, __: Any) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=[header])

    return spoil


def changing(change: Callable[[Any], Any]) -> Spoiler:
    """Answer with something made of the true answer."""

    async def spoil(_: web.Request, whole: Any) -> web.StreamResponse:
        return web.Response(text=json.dumps(change(whole)))

    return spoil


async def compressing(_: web.Request, whole: Any) -> web.StreamResponse:
    """Tell the truth in a form that could be inflated without end."""
    body = gzip.compress(json.dumps(whole).encode())
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


async def stalling(request: web.Request, _: Any) -> web.StreamResponse:
    """Begin an answer and never end it."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"[")
    await asyncio.Event().wait()
    raise AssertionError


async def breaking_off(request: web.Request, _: Any) -> web.StreamResponse:
    """Begin an answer and cut the connection."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"[")
    assert request.transport is not None
    request.transport.abort()
    return response


async def hanging_up(request: web.Request, _: Any) -> web.StreamResponse:
    """Cut the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()
