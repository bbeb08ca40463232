"""BlockRun's chat completions, and what it tells for nothing."""

import json

import pytest

from tests.sandbox.buyer import CHAT, Buyer

FREE = [
    ("/v1/models", "data"),
    ("/v1/video/models", "data"),
    ("/v1/balance", "balance"),
    ("/.well-known/x402", "resources"),
    ("/openapi.json", "paths"),
]


async def test_chat(buyer: Buyer) -> None:
    """BlockRun, chat: a paid completion comes in one piece, with its receipt."""
    answer = await buyer.pay("POST", "/v1/chat/completions", CHAT | {"max_tokens": 500})
    assert answer.status == 200
    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["message"]["role"] == "assistant"
    assert answer.settlement["success"] is True
    assert buyer.spent == 2_000


async def test_chat_stream(buyer: Buyer) -> None:
    """BlockRun, chat: with stream the same words come as events, and [DONE] ends them."""
    whole = (await buyer.pay("POST", "/v1/chat/completions", CHAT)).json
    answer = await buyer.pay("POST", "/v1/chat/completions", CHAT | {"stream": True})
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.settlement["success"] is True
    *events, done, rest = answer.body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
    said = "".join(choice["delta"].get("content", "") for choice in choices)
    assert said == whole["choices"][0]["message"]["content"]
    assert [choice["finish_reason"] for choice in choices[-2:]] == [None, "stop"]


@pytest.mark.parametrize(
    "body",
    [{}, {"model": "a"}, CHAT | {"messages": []}, CHAT | {"max_tokens": 0}, CHAT | {"model": 1}],
)
async def test_chat_bad_bodies(buyer: Buyer, body: object) -> None:
    """BlockRun, chat: a body without a model or messages is a 400."""
    assert (await buyer.call("POST", "/v1/chat/completions", body)).status == 400


@pytest.mark.parametrize(("path", "key"), FREE)
async def test_free_routes(buyer: Buyer, path: str, key: str) -> None:
    """BlockRun, free routes: they answer 200 without a payment, below /api and beside it."""
    answer = await buyer.call("GET", path)
    assert answer.status == 200
    assert answer.json[key]
    origin = buyer.town.blockrun_url.removesuffix("/api")
    assert (await buyer.call("GET", origin + path)).json.keys() == answer.json.keys()


async def test_balance_of_a_wallet(buyer: Buyer) -> None:
    """BlockRun, free routes: a wallet starts with the sandbox's balance."""
    answer = await buyer.call("GET", f"/v1/balance?address={buyer.address}")
    assert answer.json["balance"] == "100.000000"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("GET", "/v1/portrait/enroll"), ("POST", "/")]
)
async def test_anything_else(buyer: Buyer, method: str, path: str) -> None:
    """BlockRun, routes: what the sandbox does not have is a 404 in BlockRun's form."""
    answer = await buyer.call(method, path)
    assert (answer.status, answer.json) == (404, {"error": "Not found"})
