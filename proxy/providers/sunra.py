"""Sunra: a bearer key, assets under `/v1/ark`, generations in a queue whose path names the model.

Source: Sunra's documentation of Ark assets and of its queue.
"""

from typing import Final

from proxy.providers.lore import GivenOut, JsonObject, Lore

_ASSETS: Final = "/v1/ark/assets"
_QUEUE: Final = "/v1/queue/"
_REQUESTS: Final = "/v1/queue/requests/"


class Sunra(Lore):
    """What Sunra documents."""

    def model_of(self, method: str, path: str, fields: JsonObject) -> str | None:
        """The queue's path is the model.

        `/v1/queue/bytedance/seedance-2.0-relay/reference-to-video`.
        """
        if method == "POST" and path.startswith(_QUEUE) and not path.startswith(_REQUESTS):
            return path.removeprefix(_QUEUE)
        return super().model_of(method, path, fields)

    def given_out(
        self, method: str, path: str, fields: JsonObject, answer: JsonObject
    ) -> tuple[GivenOut, ...]:
        """An asset (`cgt-…`), or a prediction (`pd_…`) with its status URL."""
        if method == "POST" and path == _ASSETS and isinstance(answer.get("ark_asset_id"), str):
            return (GivenOut("asset", answer["ark_asset_id"]),)
        model = self.model_of(method, path, fields)
        if model is not None and isinstance(answer.get("request_id"), str):
            url = answer.get("status_url")
            return (
                GivenOut("job", answer["request_id"], model, url if isinstance(url, str) else ""),
            )
        return ()


SUNRA: Final = Sunra()
