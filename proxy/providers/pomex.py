"""PomexAI: a bearer key, assets and generations under `/v1/video`.

Source: PomexAI's Real-Human Asset API, version 1. Its task ids begin with `cgt-`, as Sunra's asset
ids do: an id alone decides nothing.
"""

from typing import Final

from proxy.providers.lore import GivenOut, JsonObject, Lore

_ASSETS: Final = "/v1/video/assets"
_GENERATIONS: Final = "/v1/video/generations"


class Pomex(Lore):
    """What PomexAI documents."""

    def given_out(
        self, method: str, path: str, fields: JsonObject, answer: JsonObject
    ) -> tuple[GivenOut, ...]:
        """An asset (`asset-…`) or a generation task (`cgt-…`)."""
        id_ = answer.get("id")
        if method != "POST" or not isinstance(id_, str):
            return ()
        if path == _ASSETS:
            return (GivenOut("asset", id_),)
        if path == _GENERATIONS:
            model = fields.get("model")
            return (GivenOut("job", id_, model if isinstance(model, str) else ""),)
        return ()


POMEX: Final = Pomex()
