"""An enrolment in the common shape: what a client asks for, and what it is told."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply
from proxy.core.paths import NO_PORTRAITS
from proxy.providers.lore import Enrolment, JsonObject, Likeness, Lore
from proxy.replies import json_reply, told_of_payment
from proxy.store.portraits import PROCESSING, SETTLED, Portrait
from proxy.visit import Visit

NAME_CHARS_MAX: Final = 64
"""BlockRun's limit, for all."""
COME_BACK_S: Final = 5

_NO_NAME: Final = frozenset("/\\%?#")
"""What no segment of a path has, or not under all servers alike: it could not be asked for."""

_FIELDS: Final = ("name", "image_url", "group_id", "model")
"""`model` is taken because it may say which provider is meant."""


def read_enrolment(fields: JsonObject, *, strict: bool) -> Enrolment | Refusal:
    """Read a body of the common shape.

    Where it is to be written anew (`strict`) a field that would be lost on the way is refused.
    """
    unknown = next((key for key in fields if key not in _FIELDS), None)
    if "session" in fields:
        # Reception puts the person's group in its place; unread, they would be paid for as nobody.
        return Refusal(
            "field_not_supported", "session is not taken here: name the group_id of its person"
        )
    if strict and unknown is not None:
        known = ", ".join(_FIELDS)
        message = f"{unknown[:NAME_CHARS_MAX]!a} cannot be passed on: known are {known}"
        return Refusal("field_not_supported", message)
    name, image_url, group_id = (fields.get(key) for key in ("name", "image_url", "group_id"))
    if (refusal := name_refusal(name)) is not None:
        return refusal
    if not is_text(image_url) or not str(image_url).lower().startswith(("https://", "http://")):
        return Refusal("bad_request", "image_url is the http(s) URL of the picture to enrol")
    if group_id is not None and not is_text(group_id):
        return Refusal("bad_request", "group_id is the id of a verified person's group")
    group = None if group_id is None else str(group_id)
    return Enrolment(str(name), str(image_url), fields, group)


def name_refusal(name: object) -> Refusal | None:
    """Why a portrait, or the person who is to be one, cannot be called so; None if it can."""
    if is_text(name) and len(str(name)) <= NAME_CHARS_MAX and _is_segment(str(name)):
        return None
    message = (
        f"name is what the portrait is to be called: 1 to {NAME_CHARS_MAX} printable characters,"
        f" without / \\ % ? #, and no . or .., nor one of {', '.join(NO_PORTRAITS)}"
    )
    return Refusal("bad_request", message)


def is_unfit(name: object) -> bool:
    """Whether a provider may take a name that the book cannot have: it would be nobody's."""
    is_short = isinstance(name, str) and bool(name.strip()) and len(name) <= NAME_CHARS_MAX
    return is_short and name_refusal(name) is not None


def is_text(value: object) -> bool:
    """Whether something can be written down and shown: lone surrogates and controls cannot."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_segment(name: str) -> bool:
    """Whether a name can be asked for by a path; servers trim what is behind dots."""
    is_dots = name.partition(";")[0].strip() in (".", "..")
    return _NO_NAME.isdisjoint(name) and not is_dots and name.lower() not in NO_PORTRAITS


def enrolled(portrait: Portrait, response: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a client hears of its enrolment, as BlockRun would say it."""
    group = {} if portrait.group_id is None else {"group_id": portrait.group_id}
    how = f'Pass "portrait": "{portrait.name}" on a video request; natively it is {portrait.id}.'
    usage = {"compatible_models": list(portrait.models), "how_to_use": how}
    said = {} if response is None else {"provider_response": dict(response)}
    return {
        "object": "realface" if portrait.kind == "real" else "virtual_portrait",
        "asset_id": portrait.id,
        **group,
        "name": portrait.name,
        "image_url": portrait.image_url,
        "status": portrait.status,
        "provider": portrait.provider,
        "usage": usage,
        **said,
    }


def enrolment_reply(
    portrait: Portrait, response: Mapping[str, Any] | None, headers: Headers = ()
) -> Reply:
    """200 for one that is done with, ready or failed; 202 while it is not.

    Of `headers`, an answer's before this one, the payment is told again.
    """
    running = portrait.status == PROCESSING
    reply = json_reply(202 if running else 200, enrolled(portrait, response))
    again = ((b"Retry-After", b"%d" % COME_BACK_S),) if running else ()
    reply.headers = (*reply.headers, *again)
    return told_of_payment(reply, headers)


def enrolled_before(visit: Visit, standing: Portrait) -> Reply:
    """The answer under a key that enrolled it; any other request finds the name taken."""
    refusal = name_taken(visit, standing)
    if refusal is not None:
        raise Refused(refusal)
    return enrolment_reply(standing, None)


def name_taken(visit: Visit, standing: Portrait) -> Refusal | None:
    """Why a name that somebody has cannot be had; None for the request that enrolled it."""
    mine = visit.idempotency_key is not None and standing.request == visit.fingerprint
    if mine and standing.id:
        return None
    return taken(str(visit.fields.get("name")), standing)


def taken(name: str, standing: Portrait) -> Refusal:
    """Whose a name is."""
    what = f"it is {standing.id} at" if standing.id else "it is being enrolled at"
    if standing.id == name:
        what = "it is the id of a portrait at"
    message = f"the name {name!a} is taken: {what} {standing.provider}; nothing was paid"
    return Refusal("portrait_name_taken", message)


def portrait_of(visit: Visit, wanted: Enrolment, found: Likeness, answer: JsonObject) -> Portrait:
    """The portrait that an enrolment's answer gives out."""
    return Portrait(
        provider=visit.provider,
        id=found.id,
        name=wanted.name,
        kind="virtual" if wanted.group_id is None else "real",
        group_id=wanted.group_id or found.group_id,
        status=status_of(found, PROCESSING),
        image_url=wanted.image_url,
        models=_models(visit.lore, answer),
        request=visit.fingerprint,
    )


def status_of(found: Likeness, last: str) -> str:
    """A provider's word for a status; one that nobody knows says nothing."""
    return found.status if found.status in (PROCESSING, *SETTLED) else last


def _models(lore: Lore, answer: JsonObject) -> tuple[str, ...]:
    """The models that an answer says take the portrait, else those that the kind documents."""
    usage: Any = answer.get("usage")
    named = usage.get("compatible_models") if isinstance(usage, dict) else None
    found = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    return tuple(found) or lore.portrait_models
