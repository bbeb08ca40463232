"""PomexAI's sessions: opening the link is the scan, and ends at the `callback_url`."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.pomex.words import refuse
from proxy.sandbox.site import Site
from proxy.sandbox.wire import read_object, reply

LANGUAGES: Final = ("zh", "en", "zh-Hant")
LINK_S: Final = 30 * 60
SUCCESS: Final = "10000"
FAILURE: Final = "60000"


@dataclass(frozen=True, slots=True)
class Session:
    """A link that somebody's phone may open once."""

    callback_url: str
    opened_at: float


class Sessions:
    """Create a session, and play the phone."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: dict[str, Session] = {}
        self.groups: set[str] = set()
        """The people of this organization."""

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/video/assets/sessions`."""
        body = await read_object(request)
        if body is None:
            return refuse(400, "body must be valid JSON")
        callback_url, lang = body.get("callback_url"), body.get("lang", LANGUAGES[0])
        if not callback_url:
            return refuse(400, "callback_url is required")
        if not _is_https(callback_url):
            return refuse(400, "callback_url must be a valid https URL")
        if lang not in LANGUAGES:
            return refuse(400, "lang must be zh, en, or zh-Hant")
        token = ids.letters(32)
        self._open[token] = Session(str(callback_url), self._site.clock())
        link = f"{self._site.origin}/h5/{token}?lang={lang}"
        return reply({"object": "video.asset_session", "status": "pending", "h5_link": link})

    async def scan(self, request: web.Request) -> web.Response:
        """`GET /h5/{token}`: `?scan=failed` fails, `?scan=pre_record` yields no usable group."""
        session = self._open.pop(request.match_info["token"], None)
        if session is None:
            return refuse(404, "Resource not found")
        if self._site.clock() > session.opened_at + LINK_S:
            return refuse(404, "Link expired")
        scan = request.query.get("scan", "real_time")
        result = {"resultCode": FAILURE if scan == "failed" else SUCCESS}
        if scan == "real_time":
            group = ids.pomex("group", self._site.clock())
            self.groups.add(group)
            result["group_id"] = group
        result |= {
            "verify_type": "pre_record" if scan == "pre_record" else "real_time",
            "algorithmBaseRespCode": "1" if scan == "failed" else "0",
            "reqMeasureInfoValue": "0" if scan == "failed" else "1",
        }
        mark = "&" if urlsplit(session.callback_url).query else "?"
        location = f"{session.callback_url}{mark}{urlencode(result)}"
        return web.Response(status=302, headers={"Location": location})


def _is_https(url: object) -> bool:
    if not isinstance(url, str) or any(letter.isspace() for letter in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        return False
