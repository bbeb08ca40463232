"""What a request of the common shape is at its provider: the native call that it stands for.

Nothing is asked and nothing is sent here, so a request can be explained as it would be served.
"""

from proxy.core.config import ProviderConfig
from proxy.core.errors import Refusal
from proxy.core.paths import ENROL, JOBS
from proxy.core.videos import read_video
from proxy.media.enrolment import read_enrolment
from proxy.providers import LORE
from proxy.providers.lore import JsonObject, NativeCall


def native_call(
    method: str, path: str, fields: JsonObject, config: ProviderConfig
) -> NativeCall | Refusal | None:
    """The native call of a video or an enrolment; None for whatever is neither.

    A refusal says what the provider's own call cannot express.
    """
    if (method, path) == ("POST", JOBS):
        return native_video(fields, config)
    if (method, path) == ("POST", ENROL):
        return native_enrolment(fields, config)
    return None


def native_video(fields: JsonObject, config: ProviderConfig) -> NativeCall | Refusal | None:
    """The submission of a video; None for a provider that speaks the common shape itself."""
    lore = LORE[config.kind]
    if not lore.translates:
        return None
    video = read_video(fields)
    if isinstance(video, Refusal):
        return video
    return lore.video_call(video, config.extra_fields)


def native_enrolment(fields: JsonObject, config: ProviderConfig) -> NativeCall | Refusal | None:
    """The enrolment of a portrait; None where there is none.

    What is wrong with a body that need not be written anew is for its provider to say.
    """
    lore = LORE[config.kind]
    if not lore.portrait_models:
        return None
    wanted = read_enrolment(fields, strict=lore.translates)
    if isinstance(wanted, Refusal):
        # A verified person is never passed on like that: they could be enrolled as nobody.
        of_person = isinstance(fields.get("group_id"), str)
        mild = wanted.code == "bad_request" and not lore.translates and not of_person
        return None if mild else wanted
    return lore.enrolment(wanted)
