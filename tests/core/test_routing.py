"""Where a request goes, and how URLs find their way back."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.config import RouteConfig
from proxy.core.errors import Refusal
from proxy.core.routing import (
    Decision,
    Signs,
    asked_job,
    body_signs,
    decide,
    find_route,
    fixed,
    job_id,
    matches,
    plain,
    upstream_url,
    way_back,
)
from tests.core.parts import THREE, config, provider, route

HOST = "127.0.0.1:8402"
JOBS = "/v1/videos/generations/"


class TestPaths:
    """Routes are found by path; the first that matches wins."""

    @pytest.mark.parametrize(
        ("pattern", "path", "yes"),
        [
            ("/x", "/x", True), ("/x", "/x/", False), ("/x", "/x/y", False), ("/x", "/xy", False),
            ("/x/*", "/x", True), ("/x/*", "/x/", True), ("/x/*", "/x/y/z", True), ("/x/*", "/xy",
            False),
            ("/x/*", "/X/y", False), ("/x/*", "/", False), ("/*", "/", True), ("/*", "/a/b", True),
            ("/x/*", "/x/*", True), ("/x.y/*", "/xzy/a", False), ("/x/*", "/a/x/y", False),
        ],
    )  # fmt: skip
    def test_matching(self, pattern: str, path: str, *, yes: bool) -> None:
        """Exactly, or below a stem at a slash, the stem itself too."""
        assert matches(pattern, path) is yes

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("/v1/portrait/enroll", "/v1/portrait/*"),
            ("/v1/videos/generations", "/v1/videos/*"),
            ("/v1/videos", "/v1/videos/*"),
            ("/v1/ark/assets", "/v1/ark/*"),
            ("/v1/queue/x", "/v1/queue/*"),
            ("/v1/video/x", "/v1/video/*"),
            ("/v1/chat/completions", "/v1/*"),
            ("/v1/video-models", "/v1/*"),
            ("/v1", "/v1/*"),
        ],
    )
    def test_default_routes(self, path: str, found: str) -> None:
        """The routes of a config without any."""
        got = find_route(config(), path)
        assert isinstance(got, RouteConfig)
        assert got.path == found

    def test_first_match(self) -> None:
        """The order is the user's."""
        routes = [
            {"path": "/a/*", "provider": "sunra"},
            {"path": "/a/b", "provider": "pomex"},
            {"path": "/*", "provider": "auto"},
        ]
        got = find_route(config(routes=routes), "/a/b")
        assert isinstance(got, RouteConfig)
        assert got.provider == "sunra"
        got = find_route(config(routes=routes), "/c")
        assert isinstance(got, RouteConfig)
        assert got.provider == "auto"

    def test_nothing_matches(self) -> None:
        """A path that nobody claims is refused."""
        got = find_route(config(), "/v2/x")
        assert got == Refusal("no_route", "no route matches /v2/x")

    def test_default_route_of_an_absent_provider(self) -> None:
        """A default route whose provider is not configured says whose it would be."""
        got = find_route(config(providers={"blockrun": THREE["blockrun"]}), "/v1/ark/assets")
        assert isinstance(got, Refusal)
        assert (got.code, "sunra" in got.message) == ("no_route", True)

    @pytest.mark.parametrize(
        ("path", "plainly"),
        [
            ("/api/v1/x", "/v1/x"), ("/api/v1", "/v1"), ("/api/v1/", "/v1/"), ("/api/v10/x",
            "/api/v10/x"),
            ("/api/v2", "/api/v2"), ("/api", "/api"), ("/v1/api/v1", "/v1/api/v1"), ("/api/v1?x",
            "/api/v1?x"),
            ("/api/api/v1/x", "/api/api/v1/x"),
        ],
    )  # fmt: skip
    def test_the_other_spelling(self, path: str, plainly: str) -> None:
        """`/api/v1/…` is `/v1/…`, and nothing else is anything else."""
        assert plain(path) == plainly

    @pytest.mark.parametrize(
        ("path", "job"),
        [
            (JOBS + "pd_1", "pd_1"), (JOBS + "azure%3Ax", "azure:x"), (JOBS + "a/b", "a"),
            (JOBS, None), ("/v1/videos/generations", None), ("/v1/videos/x", None),
        ],
    )  # fmt: skip
    def test_jobs(self, path: str, job: str | None) -> None:
        """A job's id stands in the path, percent-encoded."""
        assert job_id(path) == job

    @pytest.mark.parametrize(
        ("path", "job"),
        [
            (JOBS + "azure%3Ax", "azure:x"), (JOBS + "a/", "a"), (JOBS + "a/b", None),
            (JOBS + "a/content", None), (JOBS + "a//b", None), (JOBS, None), (JOBS + "/a", None),
        ],
    )  # fmt: skip
    def test_asking_after_jobs(self, path: str, job: str | None) -> None:
        """What stands below a job is the provider's own affair."""
        assert asked_job(path) == job

    @pytest.mark.parametrize(
        ("header", "verdict"),
        [
            (None, Decision("sunra", "route /v1/ark/*")),
            ("sunra", Decision("sunra", "route /v1/ark/*")),
            ("pomex", "route_conflict"),
            ("nobody", "provider_unknown"),
        ],
    )
    def test_route_that_names_its_provider(
        self, header: str | None, verdict: Decision | str
    ) -> None:
        """The header may agree with it."""
        got = fixed(route("/v1/ark/*", "sunra"), header, config())
        assert (got.code if isinstance(got, Refusal) else got) == verdict


class TestSigns:
    """What a body says."""

    @pytest.mark.parametrize(
        ("fields", "model", "assets"),
        [
            ({}, None, ()),
            ({"model": "m"}, "m", ()),
            ({"model": 5}, None, ()),
            ({"model": None}, None, ()),
            ({"real_face_asset_id": "ta_1"}, None, ("ta_1",)),
            ({"real_face_asset_id": ["ta_1"]}, None, ()),
            ({"real_face_asset_id": ""}, None, ()),
            ({"image": "asset://a"}, None, ("a",)),
            ({"image": "see asset://a"}, None, ()),
            ({"x": [{"y": {"url": "asset://a"}}, "asset://b"], "z": "asset://a"}, None, ("a", "b")),
            ({"real_face_asset_id": "a", "x": "asset://a"}, None, ("a",)),
            ({"asset://k": "v"}, None, ()),
            ({"x": "asset://"}, None, ()),
        ],
    )
    def test_body(self, fields: dict[str, Any], model: str | None, assets: tuple[str, ...]) -> None:
        """The model, and each asset once, from wherever in the body it stands."""
        assert body_signs(fields) == (model, assets)


def going(path: str = "/v1/videos/generations", **signs: Any) -> str:
    """Where a request on an `auto` route goes, or the code of the refusal."""
    verdict = decide(Signs(path, **signs), config(**signs.pop("config", {})))
    return verdict.code if isinstance(verdict, Refusal) else verdict.provider


class TestAuto:
    """The seven rules of an `auto` route, and their contradictions."""

    @pytest.mark.parametrize(
        ("job", "signs", "goes"),
        [
            # 1: a job that was seen belongs to whoever gave it out, for good.
            ("j", {"owners": {"j": ("pomex",)}}, "pomex"),
            ("pd_1", {"owners": {"pd_1": ("blockrun",)}}, "blockrun"),
            ("a%3Ab", {"owners": {"a:b": ("sunra",)}}, "sunra"),
            ("j", {"owners": {"j": ("pomex",)}, "header": "pomex"}, "pomex"),
            ("j", {"owners": {"j": ("pomex",)}, "header": "sunra"}, "route_conflict"),
            ("j", {"owners": {"j": ("pomex", "sunra")}}, "pomex"),
            ("j", {"owners": {"j": ("pomex", "sunra")}, "header": "sunra"}, "sunra"),
            ("j", {"owners": {"j": ("gone",)}}, "no_route"),
            ("j", {"owners": {"j": ("pomex",)}, "header": "nobody"}, "provider_unknown"),
            ("j", {"owners": {"j": ("pomex",)}, "model": "x-relay"}, "pomex"),
            # 2: then the header.
            ("j", {"header": "sunra"}, "sunra"),
            ("pd_1", {"header": "blockrun"}, "blockrun"),
            # 6: then the id's own form.
            ("pd_1", {}, "sunra"),
            ("azure:x", {}, "blockrun"),
            ("pd_1:x", {}, "sunra"),
            ("mystery", {}, "job_unknown"),
            ("mystery", {"model": "m", "assets": ("ta_1",)}, "job_unknown"),
        ],
    )
    def test_jobs(self, job: str, signs: dict[str, Any], goes: str) -> None:
        """Asking after a job."""
        assert going(JOBS + job, **signs) == goes

    @pytest.mark.parametrize(
        ("signs", "goes"),
        [
            # 2: an explicit header.
            ({"header": "sunra"}, "sunra"),
            ({"header": "SUNRA"}, "provider_unknown"),
            ({"header": ""}, "provider_unknown"),
            ({"header": "sunra", "model": "bytedance/seedance-2.0"}, "sunra"),
            ({"header": "pomex", "model": "anything"}, "pomex"),
            ({"header": "pomex", "model": "byteplus/x"}, "pomex"),
            ({"header": "sunra", "model": "byteplus/x"}, "route_conflict"),
            ({"header": "blockrun", "model": "m-relay"}, "route_conflict"),
            ({"header": "sunra", "assets": ("ta_1",)}, "sunra"),
            ({"header": "sunra", "assets": ("a",), "owners": {"a": ("pomex",)}}, "route_conflict"),
            ({"header": "pomex", "assets": ("a",), "owners": {"a": ("pomex",)}}, "pomex"),
            # 3: the model, first as a config names it, then by its form.
            ({"model": "mine/special"}, "sunra"),
            ({"model": "byteplus/seedance"}, "pomex"),
            ({"model": "byteplus/a-relay"}, "pomex"),
            ({"model": "seedance-relay"}, "sunra"),
            ({"model": "x-relay/fast"}, "sunra"),
            ({"model": "bytedance/seedance/image-to-video"}, "sunra"),
            ({"model": "bytedance/seedance"}, "blockrun"),
            ({"model": "openai/gpt"}, "blockrun"),
            ({"model": ""}, "blockrun"),
            # 4: an asset's owner, else its form.
            ({"assets": ("a",), "owners": {"a": ("sunra",)}}, "sunra"),
            ({"assets": ("ta_1",), "owners": {"ta_1": ("sunra",)}}, "sunra"),
            ({"assets": ("ta_1",)}, "blockrun"),
            ({"assets": ("stranger", "ta_1")}, "blockrun"),
            ({"assets": ("stranger",)}, "blockrun"),
            # 5: model and asset that disagree.
            ({"model": "byteplus/x", "assets": ("ta_1",)}, "route_conflict"),
            ({"model": "m", "assets": ("a",), "owners": {"a": ("sunra",)}}, "route_conflict"),
            ({"model": "x-relay", "assets": ("a",), "owners": {"a": ("sunra",)}}, "sunra"),
            ({"model": "m", "assets": ("ta_1",)}, "blockrun"),
            # 7: nothing says anything.
            ({}, "blockrun"),
            ({"config": {"default_provider": "pomex"}}, "pomex"),
        ],
    )
    def test_everything_else(self, signs: dict[str, Any], goes: str) -> None:
        """Anything but a job."""
        changes = signs.pop("config", {})
        verdict = decide(Signs("/v1/videos/generations", **signs), config(**changes))
        assert (verdict.code if isinstance(verdict, Refusal) else verdict.provider) == goes

    @pytest.mark.parametrize(
        ("signs", "told"),
        [
            (
                {"model": "byteplus/x", "assets": ("a",), "owners": {"a": ("sunra",)}},
                "this is pomex's by model 'byteplus/x', but sunra's by known asset 'a': ",
            ),
            (
                {"model": "mine/special", "assets": ("ta_1",)},
                "this is sunra's by model 'mine/special' of its config, but blockrun's by asset ",
            ),
            (
                {"header": "sunra", "model": "byteplus/x"},
                "this is pomex's by model 'byteplus/x', but Farebox-Provider says sunra",
            ),
            (
                {"header": "sunra", "assets": ("a",), "owners": {"a": ("pomex",)}},
                "this is pomex's by known asset 'a', but Farebox-Provider says sunra",
            ),
            (
                {"path": JOBS + "j", "header": "sunra", "owners": {"j": ("pomex",)}},
                "job 'j' is pomex's, but Farebox-Provider says sunra",
            ),
        ],
    )
    def test_contradictions_name_both_sides(self, signs: dict[str, Any], told: str) -> None:
        """Who reads it knows which two signs disagree, and about whom."""
        verdict = decide(Signs(**{"path": "/v1/videos/generations", **signs}), config())
        assert isinstance(verdict, Refusal)
        assert verdict.code == "route_conflict"
        assert verdict.message.startswith(told)

    @pytest.mark.parametrize(
        "signs", [{"model": "byteplus/x"}, {"assets": ("ta_1",)}, {"path": JOBS + "a:b"}, {}]
    )
    def test_provider_that_is_not_configured(self, signs: dict[str, Any]) -> None:
        """What belongs to somebody who is not configured goes to nobody else."""
        only = config(providers={"sunra": THREE["sunra"]})
        verdict = decide(Signs(**{"path": "/v1/videos/generations", **signs}), only)
        assert isinstance(verdict, Refusal)
        assert verdict.code == "no_route"

    def test_default_video_model(self) -> None:
        """A provider's default model is that provider's, whatever its form."""
        mine = THREE | {"pomex": THREE["pomex"] | {"default_video_model": "x-relay"}}
        verdict = decide(Signs("/v1/videos/generations", model="x-relay"), config(providers=mine))
        assert isinstance(verdict, Decision)
        assert verdict.provider == "pomex"


class TestUpstream:
    """A path of ours as the provider's URL."""

    @pytest.mark.parametrize(
        ("base", "strip", "target", "url"),
        [
            ("https://p.example", "", "/v1/x?a=1", "https://p.example/v1/x?a=1"),
            ("https://p.example/api/", "", "/v1/x", "https://p.example/api/v1/x"),
            (
                "https://p.example/api",
                "/shop",
                "/shop/a%2Fb?q=%20",
                "https://p.example/api/a%2Fb?q=%20",
            ),
            ("https://p.example", "/shop", "/shop", "https://p.example/"),
            ("https://p.example/api", "/shop", "/shop?a", "https://p.example/api/?a"),
            ("https://p.example", "", "/", "https://p.example/"),
        ],
    )
    def test_table(self, base: str, strip: str, target: str, url: str) -> None:
        """The base URL, and what is left when the prefix is stripped, byte for byte."""
        rule = route("/shop/*" if strip else "/*", strip_prefix=strip)
        assert upstream_url(provider(base), rule, target) == url


PLAIN, STRIPPED = route("/*"), route("/shop/*", strip_prefix="/shop")
ROOT, BELOW = provider("https://p.example"), provider("https://p.example/api")
V1 = route("/v1/*")
OURS = f"http://{HOST}"


class TestWayBack:
    """URLs of the provider's own origin lead back here, and no others are touched."""

    @pytest.mark.parametrize(
        ("url", "upstream", "rule", "back"),
        [
            ("https://p.example/v1/x?a=%20b#c", ROOT, PLAIN, OURS + "/v1/x?a=%20b#c"),
            ("HTTPS://P.Example/v1/X", ROOT, PLAIN, OURS + "/v1/X"),
            ("https://p.example", ROOT, PLAIN, OURS + "/"),
            ("https://p.example?a=1", ROOT, PLAIN, OURS + "/?a=1"),
            ("/v1/x", ROOT, PLAIN, None),
            ("/", ROOT, PLAIN, None),
            ("https://p.example/item/1", ROOT, STRIPPED, OURS + "/shop/item/1"),
            ("/item/1?x=/y", ROOT, STRIPPED, "/shop/item/1?x=/y"),
            ("https://p.example/shop/1", ROOT, STRIPPED, OURS + "/shop/shop/1"),
            ("https://p.example/api/v1/x", BELOW, V1, OURS + "/api/v1/x"),
            ("/api/v1/x", BELOW, V1, None),
            ("https://p.example/v1/x", BELOW, V1, OURS + "/v1/x"),
            ("https://p.example/api/things/1", BELOW, PLAIN, OURS + "/things/1"),
            ("/api/things/1", BELOW, PLAIN, "/things/1"),
            ("https://p.example/api/things/1", BELOW, STRIPPED, OURS + "/shop/things/1"),
            ("https://p.example/api", BELOW, PLAIN, OURS + "/"),
            ("https://p.example/api?x", BELOW, PLAIN, OURS + "/?x"),
            ("/api", BELOW, PLAIN, "/"),
            ("https://p.example/apiary/1", BELOW, PLAIN, OURS + "/apiary/1"),
            ("/apiary/1", BELOW, PLAIN, None),
        ],
    )
    def test_table(self, url: str, upstream: Any, rule: RouteConfig, back: str | None) -> None:
        """Origin, base path, stripped prefix, absolute path: every other byte stays."""
        assert way_back(url, upstream, rule, HOST) == back

    @pytest.mark.parametrize(
        "url",
        [
            "", "x", "./x", "../x", "?a=1", "#a", "//p.example/x", "//evil.example/", "///x",
            "https://evil.example/v1/x", "http://p.example/v1/x", "https://p.example:443/x",
            "https://p.example:8443/", "https://p.example.evil/", "https://p.examplevil/",
            "https://p.example@evil.example/", "https://user@p.example/", "https://p.example:pw@evil/",
            "https://p.example\\@evil.example/", "https://p.example#@evil.example/", "https://p.example%2f/",
            " https://p.example/", "https:p.example/x", "https:/p.example/x", "ftp://p.example/x",
            "javascript:alert(1)", "data:,x", "https://127.0.0.1:8402/x",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("rule", [PLAIN, STRIPPED])
    def test_left_alone(self, url: str, rule: RouteConfig) -> None:
        """Whatever is not surely the provider's own stays as it is."""
        assert way_back(url, ROOT, rule, HOST) is None

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:9931.evil/", "http://127.0.0.1:99310/", "http://127.0.0.1:9931@evil/",
            "http://127.0.0.1:993/", "http://127.0.0.1/", "http://localhost:9931/", "http://evil@127.0.0.1:9931/",
        ],
    )  # fmt: skip
    def test_look_alikes_of_a_port(self, url: str) -> None:
        """An origin is compared whole, and ends where an origin ends."""
        assert way_back(url, provider("http://127.0.0.1:9931"), PLAIN, HOST) is None

    @pytest.mark.parametrize("rule", [PLAIN, STRIPPED, V1])
    @pytest.mark.parametrize(
        "tail",
        ["@evil.example/", ".evil.example/", "//evil.example/", "/\\evil.example", ":80@evil/"],
    )
    @pytest.mark.parametrize("start", ["https://p.example/api", "/api", "https://p.example/", "/"])
    def test_no_new_host(self, start: str, tail: str, rule: RouteConfig) -> None:
        """Taking the base path off never turns a path into a host: the client stays here."""
        if (back := way_back(start + tail, BELOW, rule, HOST)) is not None:
            assert back.startswith((OURS + "/", "/"))
            assert not back.startswith("//")
            assert urlsplit(back).netloc in (HOST, "")


segments = st.text("abcXYZ019-._~%2Fé:@!$&'()*+,;=", min_size=1, max_size=6)
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
queries = st.none() | st.text("abc=&%20?/", max_size=8)
bases = st.sampled_from(["", "/api", "/api/v1", "/a.b/c"])
prefixes = st.sampled_from(["", "/shop", "/v1", "/a/b"])


@given(path=paths, query=queries, base=bases, prefix=prefixes, absolute=st.booleans())
def test_there_and_back(
    path: str, query: str | None, base: str, prefix: str, *, absolute: bool
) -> None:
    """A URL below the base, sent back through here, is asked for at the very same URL."""
    assume(not path.startswith("//"))
    upstream = provider("https://p.example" + base)
    rule = route(f"{prefix}/*", strip_prefix=prefix)
    there = upstream.base_url + path + ("" if query is None else f"?{query}")
    url = there if absolute else there.removeprefix("https://p.example")
    back = way_back(url, upstream, rule, HOST)
    target = (url if back is None else back).removeprefix(OURS)
    assert target.startswith("/")
    assert matches(rule.path, plain(target).partition("?")[0])
    assert upstream_url(upstream, rule, plain(target)) == there


@pytest.mark.parametrize(
    ("method", "path", "provider_"),
    [
        ("GET", "/v1/portrait", "sunra"),
        ("GET", "/v1/portrait/rachel", "sunra"),
        ("GET", "/v1/portrait/enroll", None),
        ("GET", "/v1/portrait/sessions", "sunra"),
        ("GET", "/v1/portrait/sessions/ps_1", "sunra"),
        ("POST", "/v1/portrait/sessions", None),
        ("GET", "/v1/portrait/callback", None),
        ("GET", "/v1/portraits", None),
        ("GET", "/v1/videos/generations", None),
    ],
)
def test_book_of_portraits_needs_no_default(method: str, path: str, provider_: str | None) -> None:
    """What the daemon answers itself is answered, also where the default is not configured."""
    two = {name: THREE[name] for name in ("sunra", "pomex")}
    found = decide(Signs(path, method=method), config(providers=two))
    if provider_ is None:
        assert isinstance(found, Refusal)
        assert found.code == "no_route"
    else:
        assert isinstance(found, Decision)
        assert found.provider == provider_


def test_asset_whose_provider_is_not_configured() -> None:
    """It is refused by the owner's name; of several owners, one that is configured serves it."""
    two = {name: THREE[name] for name in ("sunra", "blockrun")}
    signs = Signs("/v1/videos/generations", assets=("x",), owners={"x": ("pomex",)})
    found = decide(signs, config(providers=two))
    assert isinstance(found, Refusal)
    assert (found.code, "pomex" in found.message) == ("no_route", True)
    both = Signs("/v1/videos/generations", assets=("x",), owners={"x": ("pomex", "sunra")})
    found = decide(both, config(providers=two))
    assert isinstance(found, Decision)
    assert found.provider == "sunra"


@pytest.mark.parametrize("asset", ["\ud800", "a\x00", "a\nb", ""])
def test_asset_that_is_no_text(asset: str) -> None:
    """Nobody ever gave out an id that cannot be written down."""
    assert body_signs({"real_face_asset_id": asset}) == (None, ())
