"""BlockRun: paid by x402, videos are jobs whose polls carry the payment of their submission.

Source: BlockRun's API documentation (virtual portraits, RealFace, video generation). The
submission's payment is verified, not settled; the money moves on the first poll that finds the
clip finished, so polls repeat the submission's header while it lives.
"""

from typing import Final
from urllib.parse import urlencode

from proxy.core.errors import Refusal
from proxy.providers import people
from proxy.providers.lore import (
    Enrolment,
    GivenOut,
    JsonObject,
    Likeness,
    Lore,
    NativeCall,
    Opened,
    Verification,
)

_JOBS: Final = "/v1/videos/generations"
_ENROLMENTS: Final = ("/v1/portrait/enroll", "/v1/realface/enroll")
_REALFACE: Final = "/v1/realface"
_LINK_S: Final = 120
"""How long a link lives where the answer does not say."""

_SETTLED: Final = ("settled", "already_settled")


class BlockRun(Lore):
    """What BlockRun documents."""

    portrait_models = ("bytedance/seedance-2.0", "bytedance/seedance-2.0-fast")

    def starts_paid_job(self, method: str, path: str) -> bool:
        """Videos do; everything else is settled by its own answer."""
        return method == "POST" and path == _JOBS

    def given_out(
        self, method: str, path: str, fields: JsonObject, answer: JsonObject
    ) -> tuple[GivenOut, ...]:
        """A video's job with its poll URL, or an enrolled asset."""
        if self.starts_paid_job(method, path) and isinstance(answer.get("id"), str):
            model = answer.get("model", fields.get("model"))
            return (GivenOut("job", answer["id"], _text(model), _text(answer.get("poll_url"))),)
        if method == "POST" and path in _ENROLMENTS and isinstance(answer.get("asset_id"), str):
            return (GivenOut("asset", answer["asset_id"]),)
        return ()

    def enrolment(self, wanted: Enrolment) -> NativeCall:
        """The client's own body: its shape is this one. A verified person is a RealFace."""
        return NativeCall("POST", _ENROLMENTS[wanted.group_id is not None], wanted.body)

    def likeness(self, answer: JsonObject) -> Likeness | None:
        """An enrolment's answer: it is there at once."""
        id_ = _text(answer.get("asset_id"))
        return Likeness(id_, "active", _text(answer.get("group_id")) or None) if id_ else None

    def session_call(self, wanted: Verification) -> NativeCall | Refusal:
        """RealFace's beginning; for a group that is there already it gives a new link."""
        for field, value in (("callback_url", wanted.callback_url), ("lang", wanted.lang)):
            if value is not None:
                message = f"{field}: BlockRun's verification takes a name alone; leave it out"
                return Refusal("field_not_supported", message)
        group = {} if wanted.group_id is None else {"groupId": wanted.group_id}
        return NativeCall("POST", f"{_REALFACE}/init", {"name": wanted.name, **group})

    def session_opened(self, answer: JsonObject) -> Opened | None:
        """The link comes with the person's group, or nobody could ask after it."""
        link, group_id = people.link(answer.get("h5_link")), people.group(answer.get("group_id"))
        if link is None or group_id is None:
            return None
        return Opened(link, people.seconds(answer.get("expires_in_seconds"), _LINK_S), group_id)

    def session_poll(self, group_id: str) -> NativeCall:
        """RealFace's status, which is free."""
        return NativeCall("GET", f"{_REALFACE}/status", query=urlencode({"groupId": group_id}))

    def session_verified(self, answer: JsonObject) -> bool:
        """Ready to be enrolled, or enrolled already."""
        return answer.get("ready_to_finalize") is True or answer.get("status") == "active"

    def wallet_list(self, what: str, address: str) -> NativeCall:
        """Free, and 20 an hour for both lists together."""
        return NativeCall("GET", f"/v1/wallet/{address}/{what}")

    def settled_tx(self, answer: JsonObject) -> str | None:
        """Enrolments say `settlement: {success, tx_hash}`, finished jobs `payment.

        {status, tx_hash}`.
        """
        settlement, payment = answer.get("settlement"), answer.get("payment")
        if isinstance(settlement, dict) and settlement.get("success") is True:
            return _text(settlement.get("tx_hash"))
        if isinstance(payment, dict) and payment.get("status") in _SETTLED:
            return _text(payment.get("tx_hash"))
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


BLOCKRUN: Final = BlockRun()
