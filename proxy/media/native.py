"""What a request of the common shape is at its provider: the native call that it stands for.

Nothing is asked and nothing is sent here, so a request can be explained as it would be served.
"""

from dataclasses import replace

from proxy.core.config import Config, ProviderConfig
from proxy.core.errors import Refusal
from proxy.core.paths import CALLBACKS, ENROL, JOBS
from proxy.core.videos import read_video
from proxy.media.enrolment import is_unfit, read_enrolment
from proxy.providers import LORE
from proxy.providers.lore import JsonObject, NativeCall, Verification
from proxy.store.portraits import Portrait


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
        # Neither a verified person is passed on like that, who could be enrolled as nobody, nor a
        # name that the provider may take and nobody could call it by.
        matters = isinstance(fields.get("group_id"), str) or is_unfit(fields.get("name"))
        mild = wanted.code == "bad_request" and not lore.translates and not matters
        return None if mild else wanted
    return lore.enrolment(wanted)


def native_removal(portrait: Portrait, config: ProviderConfig) -> NativeCall | Refusal:
    """The call that deletes a portrait at its provider."""
    if not portrait.id:
        return Refusal("portrait_unknown", "it is being enrolled, and has no id yet")
    call = LORE[config.kind].portrait_removal(portrait.id)
    if call is None:
        message = f"{portrait.provider} documents no call that deletes a portrait"
        return Refusal("method_not_allowed", message, allow=("GET",))
    return call


def native_session(
    wanted: Verification, provider: str, config: Config, state: str
) -> NativeCall | Refusal:
    """The beginning of a verification; where nobody else is to be called back, the daemon is.

    `state` is the secret in its URL then.
    """
    mine = config.providers[provider]
    if waits_here(wanted, mine, config):
        wanted = replace(wanted, callback_url=f"{config.public_url}{CALLBACKS}{state}")
    call = LORE[mine.kind].session_call(wanted)
    if call is None:
        message = f"{provider} documents no verification of real people"
        return Refusal("method_not_allowed", message, allow=("GET",))
    return call


def waits_here(wanted: Verification, provider: ProviderConfig, config: Config) -> bool:
    """Whether it is the daemon that the phone is to end at."""
    is_open = wanted.callback_url is None and config.public_url is not None
    return is_open and LORE[provider.kind].calls_back
