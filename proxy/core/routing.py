"""Routing.

Which provider a path belongs to, and how paths and URLs cross between the daemon and that
provider.

A route is found by path, first match wins. A route to `auto` lets the request decide, by these
rules, of which the first that speaks wins and a contradiction is a 400 before anything is paid:

1. a job id that the daemon has seen: its provider, for good;
2. an explicit `Farebox-Provider` header;
3. the model: one that a provider's config names, else by pattern (`byteplus/*` is PomexAI's;
   `*-relay`, `*-relay/*` and `bytedance/*/<endpoint>` are Sunra's; any other is BlockRun's);
4. an asset whose owner is known, else `ta_…` is BlockRun's;
5. model and asset that disagree: refused;
6. an unknown job id: `pd_…` is Sunra's, one with a colon BlockRun's, any other is unknown. Nobody
   is asked around: it leaks ids;
7. nothing of all this: the default provider.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from proxy.core.config import AUTO, Config, Kind, ProviderConfig, RouteConfig
from proxy.core.errors import Refusal
from proxy.core.paths import JOBS, NO_PORTRAITS, PORTRAITS

_ASSET_SCHEME = "asset://"


@dataclass(frozen=True, slots=True)
class Signs:
    """What a request on an `auto` route says about where it belongs.

    `owners` maps known ids to the providers that gave them out; a known person's group is an
    asset here.
    """

    path: str
    header: str | None = None
    model: str | None = None
    assets: tuple[str, ...] = ()
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Decision:
    """The provider, and the rule that chose it."""

    provider: str
    reason: str


def find_route(config: Config, path: str) -> RouteConfig | Refusal:
    """The first route that matches a path.

    `no_route` where there is none, or where its provider is not configured.
    """
    for route in config.routes:
        if matches(route.path, path):
            if route.provider != AUTO and route.provider not in config.providers:
                return Refusal(
                    "no_route", f"{path} belongs to {route.provider}, which is not configured"
                )
            return route
    return Refusal("no_route", f"no route matches {path}")


def matches(pattern: str, path: str) -> bool:
    """Whether a route's path matches.

    Exactly, or below it for one that ends in `/*`, which matches its own stem too.
    """
    if not pattern.endswith("/*"):
        return path == pattern
    stem = pattern.removesuffix("/*")
    return path == stem or path.startswith(f"{stem}/")


def job_id(path: str) -> str | None:
    """The job that a path on the common jobs route, or one below, is about: percent-decoded."""
    if not path.startswith(f"{JOBS}/"):
        return None
    return unquote(path.removeprefix(f"{JOBS}/").split("/")[0]) or None


def asked_job(path: str) -> str | None:
    """The job that a path asks after: what stands below one is its provider's own affair."""
    below = path.removeprefix(f"{JOBS}/").removesuffix("/")
    return None if "/" in below else job_id(path)


def body_signs(fields: Mapping[str, object]) -> tuple[str | None, tuple[str, ...]]:
    """The model and the asset ids that a JSON body names."""
    model = fields.get("model")
    found = [fields.get("real_face_asset_id"), *_asset_urls(fields)]
    return model if isinstance(model, str) else None, tuple(
        dict.fromkeys(a for a in found if isinstance(a, str) and a and a.isprintable())
    )


def decide(signs: Signs, config: Config) -> Decision | Refusal:
    """Apply the rules above to a request on an `auto` route."""
    if signs.header is not None and signs.header not in config.providers:
        known = ", ".join(config.providers)
        return Refusal(
            "provider_unknown", f"no provider is called {signs.header!a}: known are {known}"
        )
    job = job_id(signs.path)
    if job is not None:
        return _decide_job(job, signs, config)
    by_model = _by_model(signs.model, config)
    by_asset = _by_asset(signs, config)
    if isinstance(by_model, Refusal):
        return by_model
    if isinstance(by_asset, Refusal):
        return by_asset
    if signs.header is not None:
        return _against_header(signs, by_model, by_asset)
    if by_model is not None and by_asset is not None and by_model.provider != by_asset.provider:
        message = (
            f"this is {by_model.provider}'s by {by_model.reason}, "
            f"but {by_asset.provider}'s by {by_asset.reason}: "
            "use a model of the asset's provider, or enrol the portrait with the model's"
        )
        return Refusal("route_conflict", message)
    return by_model or by_asset or _default(signs, config)


def fixed(route: RouteConfig, header: str | None, config: Config) -> Decision | Refusal:
    """A route that names its provider; a header that names another one contradicts it."""
    if header is not None and header not in config.providers:
        return Refusal(
            "provider_unknown",
            f"no provider is called {header!a}: known are {', '.join(config.providers)}",
        )
    if header is not None and header != route.provider:
        message = (
            f"the route {route.path} is {route.provider}'s, but Farebox-Provider says {header}"
        )
        return Refusal("route_conflict", message)
    return Decision(route.provider, f"route {route.path}")


def upstream_url(provider: ProviderConfig, route: RouteConfig, target: str) -> str:
    """The provider's URL for a path and query of ours.

    The base URL and what is left when the route's prefix is stripped.
    """
    rest = target.removeprefix(route.strip_prefix) if route.strip_prefix else target
    return provider.base_url + (rest if rest.startswith("/") else f"/{rest}" if rest else "/")


def way_back(url: str, provider: ProviderConfig, route: RouteConfig, host: str) -> str | None:
    """Rewrite a URL of the provider's own origin so that the next call comes back through here.

    None leaves it alone.

    An absolute URL gets the daemon's origin; an absolute path stays one. The rest is kept byte for
    byte where it already leads back to the same place, and else gets the base URL's path taken off
    and the route's prefix put on.
    """
    base = urlsplit(provider.base_url)
    origin = f"{base.scheme}://{base.netloc}"
    if url.startswith("/") and not url.startswith("//"):
        target, ours = url, ""
    elif url.lower().startswith(origin.lower()) and url[len(origin) : len(origin) + 1] in (
        "/",
        "?",
        "",
    ):
        target, ours = url[len(origin) :] or "/", f"http://{host}"
    else:
        return None
    target = target if target.startswith("/") else f"/{target}"
    if not _leads_back(target, origin, provider, route):
        target = route.strip_prefix + _below(target, base.path)
    rewritten = ours + target
    # A path that begins with two slashes would name a host, wherever it came from.
    return None if rewritten == url or rewritten.startswith("//") else rewritten


def plain(path: str) -> str:
    """`/api/v1/…` is `/v1/…`: one gateway's clients write the one, its documents the other."""
    return path.removeprefix("/api") if path == "/api/v1" or path.startswith("/api/v1/") else path


def _below(target: str, base_path: str) -> str:
    """What is left of a path below the base URL's; all of one that is not below it."""
    rest = target.removeprefix(base_path)
    if rest == target or rest[:1] not in ("", "/", "?"):
        return target
    return rest if rest.startswith("/") else f"/{rest}"


def _leads_back(target: str, origin: str, provider: ProviderConfig, route: RouteConfig) -> bool:
    ours = plain(target)
    return (
        matches(route.path, ours.partition("?")[0])
        and upstream_url(provider, route, ours) == origin + target
    )


def _decide_job(job: str, signs: Signs, config: Config) -> Decision | Refusal:
    owners = signs.owners.get(job, ())
    if owners:
        chosen = signs.header if signs.header in owners else owners[0]
        if signs.header is not None and signs.header not in owners:
            return Refusal(
                "route_conflict",
                f"job {job!a} is {owners[0]}'s, but Farebox-Provider says {signs.header}",
            )
        if chosen not in config.providers:
            return Refusal("no_route", f"job {job!a} is {chosen}'s, which is not configured")
        return Decision(str(chosen), "a job that it gave out")
    if signs.header is not None:
        return Decision(signs.header, "Farebox-Provider")
    kind: Kind | None = "sunra" if job.startswith("pd_") else "blockrun" if ":" in job else None
    if kind is None:
        return Refusal(
            "job_unknown",
            f"no job {job!a} is known here; name its provider with Farebox-Provider",
        )
    return _of_kind(kind, f"the form of job id {job!a}", config)


def _by_model(model: str | None, config: Config) -> Decision | Refusal | None:
    if model is None:
        return None
    for name, provider in config.providers.items():
        if model == provider.default_video_model or any(
            model == rule.model for rule in provider.prices or ()
        ):
            return Decision(name, f"model {model!a} of its config")
    return _of_kind(_model_kind(model) or "blockrun", f"model {model!a}", config)


def _model_kind(model: str) -> Kind | None:
    """Whose a model is for certain.

    None for one that only the rest of the rules give to BlockRun.
    """
    if model.startswith("byteplus/"):
        return "pomex"
    if (
        model.endswith("-relay")
        or "-relay/" in model
        or (model.startswith("bytedance/") and model.count("/") > 1)
    ):
        return "sunra"
    return None


def _by_asset(signs: Signs, config: Config) -> Decision | Refusal | None:
    for asset in signs.assets:
        owners = signs.owners.get(asset, ())
        if owners:
            known = next((owner for owner in owners if owner in config.providers), None)
            if known is None:
                message = f"asset {asset!a} is {owners[0]}'s, which is not configured"
                return Refusal("no_route", message)
            return Decision(known, f"known asset {asset!a}")
        if asset.startswith("ta_"):
            return _of_kind("blockrun", f"asset {asset!a}", config)
    return None


def _against_header(
    signs: Signs, by_model: Decision | None, by_asset: Decision | None
) -> Decision | Refusal:
    """The header decides, unless a model or a known asset belongs for certain to somebody else."""
    header = signs.header or ""
    certain = (
        by_model if signs.model is not None and _model_kind(signs.model) is not None else None,
        by_asset if any(asset in signs.owners for asset in signs.assets) else None,
    )
    for sign in certain:
        if sign is not None and sign.provider != header:
            return Refusal(
                "route_conflict",
                f"this is {sign.provider}'s by {sign.reason}, but Farebox-Provider says {header}",
            )
    return Decision(header, "Farebox-Provider")


def _of_kind(kind: Kind, reason: str, config: Config) -> Decision | Refusal:
    for name, provider in config.providers.items():
        if provider.kind == kind:
            return Decision(name, reason)
    return Refusal(
        "no_route", f"{reason} belongs to {kind}, and no provider of that kind is configured"
    )


def _default(signs: Signs, config: Config) -> Decision | Refusal:
    if config.default_provider in config.providers:
        return Decision(config.default_provider, "the default provider")
    if _is_in_the_book(signs):
        return Decision(next(iter(config.providers)), "the book of portraits knows whose it is")
    return Refusal(
        "no_route",
        f"nothing names a provider, and the default, {config.default_provider}, is not configured",
    )


def _is_in_the_book(signs: Signs) -> bool:
    """Whether a path asks the daemon's own book: all portraits, or one, and the same of people."""
    below = signs.path.removeprefix(PORTRAITS)
    if below == signs.path:
        return False
    first = below[1:].split("/")[0]
    told = first not in NO_PORTRAITS or (first == "sessions" and signs.method == "GET")
    return not below or (below.startswith("/") and told)


def _asset_urls(value: object) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(_ASSET_SCHEME):
        yield value.removeprefix(_ASSET_SCHEME)
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from _asset_urls(child)
    elif isinstance(value, list):
        for child in value:
            yield from _asset_urls(child)
