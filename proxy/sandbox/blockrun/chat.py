"""BlockRun's chat completions: a paid answer in one piece, or as a stream of events."""

from typing import Final

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.dialect import Report
from proxy.sandbox.site import Site
from proxy.sandbox.till import Buyer, Delivery, Goods, Till
from proxy.sandbox.wire import Json, event, read_object, reply

BASE_PRICE: Final = 1_000
TOKEN_PRICE: Final = 2
TOKENS_DEFAULT: Final = 1_000
ANSWER: Final = ("This ", "is ", "what ", "a ", "model ", "would ", "say.")


class Chat:
    """The one route of it."""

    def __init__(self, site: Site, till: Till) -> None:
        self._site = site
        self._till = till

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`, in one piece or, with `"stream": true`, as events."""
        body = await read_object(request) or {}
        model, messages = body.get("model"), body.get("messages")
        tokens = body.get("max_tokens", TOKENS_DEFAULT)
        if not isinstance(model, str) or not isinstance(messages, list) or not messages:
            return reply({"error": "Invalid request body"}, 400)
        if not isinstance(tokens, int) or tokens < 1:
            return reply({"error": "Invalid request body"}, 400)
        price = BASE_PRICE + TOKEN_PRICE * tokens
        sale = self._till.open(request, price, f"Chat completion, {model}")
        goods = self._events(model) if body.get("stream") is True else self._whole(model)

        async def work(_buyer: Buyer) -> Delivery:
            def worded(_report: Report | None) -> Goods:
                return goods

            return Delivery(lambda _tx: None, worded)

        return await self._till.sell(sale, work)

    def _whole(self, model: str) -> Goods:
        message = {"role": "assistant", "content": "".join(ANSWER)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": len(ANSWER), "total_tokens": 14}
        head = self._head(model, "chat.completion")
        return Goods.of({**head, "choices": [choice], "usage": usage})

    def _events(self, model: str) -> Goods:
        head = self._head(model, "chat.completion.chunk")
        deltas: list[Json] = [{"content": word} for word in ANSWER]
        ends: list[str | None] = [None] * len(ANSWER) + ["stop"]
        pieces = [
            event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
            for delta, end in zip([*deltas, {}], ends, strict=True)
        ]
        return Goods((*pieces, event("[DONE]")), "text/event-stream")

    def _head(self, model: str, noun: str) -> Json:
        created = int(self._site.clock())
        return {
            "id": f"chatcmpl-{ids.letters(24)}",
            "object": noun,
            "created": created,
            "model": model,
        }
