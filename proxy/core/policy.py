"""Policy: may this be bought at all, from whom, and under which limits?

Pure decisions over one config snapshot. Numbered precedence: (1) a provider without `pay` is never
paid; (2) the method must be one that the route or the provider pays for; (3) the challenge must
hold an acceptable entry (`x402.terms`); (4) the price must fit under every limit, which only the
ledger can decide, in its transaction.
"""

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final

from proxy.core.bodies import Unread
from proxy.core.config import Config, PriceRule, ProviderConfig, RouteConfig
from proxy.core.errors import Refusal
from proxy.core.ledger import EVERYTHING, Limit, limits_of
from proxy.core.money import Usd
from proxy.core.x402.challenge import Challenge, Malformed
from proxy.core.x402.terms import Allowed, Terms, choose

_SECONDS_MAX: Final = 3600
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_SECONDS_FIELDS: Final = ("duration_seconds", "duration", "seconds")
_TABLE_FIELDS: Final = ("model", *_SECONDS_FIELDS)
_MODEL_CHARS_MAX: Final = 100
"""How much of a model's name a refusal repeats."""
PRICE_FIELDS: Final = (
    *_SECONDS_FIELDS,
    "model",
    "n",
    "quality",
    "resolution",
    "size",
    "ratio",
    "aspect_ratio",
    "generate_audio",
    "max_tokens",
)
"""What in a JSON body providers price by: two calls alike in these buy the same thing."""


def pays(provider: ProviderConfig, route: RouteConfig, method: str) -> bool:
    """Whether a call by this method may be paid for. HEAD and OPTIONS never are.

    The config cannot name them.
    """
    if provider.pay is None:
        return False
    methods = provider.pay_methods if route.pay_methods is None else route.pay_methods
    return method in methods


def choose_terms(
    challenge: Challenge | Malformed, config: Config, provider: str, payer: str
) -> Terms | Refusal:
    """Choose what to pay of a challenge, or say why nothing of it."""
    if isinstance(challenge, Malformed):
        return Refusal(
            "challenge_invalid", f"the provider's 402 cannot be paid: {challenge.reason}"
        )
    pay = config.providers[provider].pay
    if pay is None:
        raise ValueError(f"provider {provider} is never paid")
    payees = pay.pay_to if isinstance(pay.pay_to, tuple) else None
    return choose(challenge, Allowed(pay.networks, config.assets, payees, payer))


def scopes(provider: str, route: RouteConfig, client: str | None) -> tuple[str, ...]:
    """The scopes that a call counts in, widest first; a payment adds its payee's."""
    named = () if client is None else (f"client:{client}",)
    return (EVERYTHING, f"provider:{provider}", f"route:{route.path}", *named)


def payee_scope(pay_to: str) -> str:
    """The scope of an address, in whatever case it is written."""
    return f"payee:{pay_to.lower()}"


def limits(
    config: Config,
    provider: str,
    route: RouteConfig,
    client: str | None,
    pay_to: str | None = None,
) -> tuple[Limit, ...]:
    """Every limit that a call must pass under one config."""
    found = [*limits_of(EVERYTHING, config.caps)]
    if provider in config.providers:
        found += limits_of(f"provider:{provider}", config.providers[provider].caps)
    for candidate in config.routes:
        if candidate.path == route.path:
            found += limits_of(f"route:{route.path}", candidate.caps)
    for known in config.clients:
        if known.name == client:
            found += limits_of(f"client:{client}", known.caps)
    for payee in config.payees:
        if pay_to is not None and payee.address.lower() in ("any", pay_to.lower()):
            found += limits_of(payee_scope(pay_to), payee.caps)
    return tuple(found)


def all_limits(config: Config) -> tuple[Limit, ...]:
    """Every limit of the config that has a scope of its own, for status pages."""
    found = [*limits_of(EVERYTHING, config.caps)]
    for name, provider in config.providers.items():
        found += limits_of(f"provider:{name}", provider.caps)
    for route in config.routes:
        found += limits_of(f"route:{route.path}", route.caps)
    for client in config.clients:
        found += limits_of(f"client:{client.name}", client.caps)
    for payee in config.payees:
        if payee.address != "any":
            found += limits_of(payee_scope(payee.address), payee.caps)
    return tuple(found)


def thing(method: str, path: str, fields: Mapping[str, object]) -> bytes:
    """What is bought, as far as its price goes: method, path, and the fields that set a price."""
    priced = {name: fields[name] for name in PRICE_FIELDS if name in fields}
    words = json.dumps([method, path, priced], sort_keys=True)
    return sha256(words.encode("utf-8", "surrogatepass")).digest()


def price_fields(fields: Mapping[str, object]) -> Mapping[str, object] | Unread:
    """The fields of a body, if those that set its price are the same for all who read it.

    Some readers take a field's name in any case, and the last of two such for the one that counts.
    """
    odd = next(
        (n for n in fields if n not in _TABLE_FIELDS and n.casefold() in _TABLE_FIELDS), None
    )
    if odd is not None:
        return Unread(f"{odd!a} may be read as {odd.casefold()}")
    if not isinstance(fields.get("model"), str | None):
        return Unread("its model is no string")
    return fields


def table_price(
    rules: tuple[PriceRule, ...],
    path: str,
    model: str | None,
    fields: Mapping[str, object] | Unread,
) -> Usd | Refusal:
    """Price a call that no 402 prices, from the config's table; the first matching rule decides.

    A call that names a model must find a rule, or its cost could not be capped; one that names
    none and finds none is free: it manages assets, sessions and jobs. `fields` is the JSON body's
    top level, for prices by the second. Where nobody knows what it says, a call may be any that its
    path allows: only a flat price that comes before all that might be meant is its price.
    """
    for rule in rules:
        if isinstance(fields, Unread) and model is None and rule.model is not None:
            return _unpriced(fields)
        if _matches(rule, path, model):
            return _priced(rule, fields)
    if isinstance(fields, Unread) and model is None:
        return _unpriced(fields)
    if model is None:
        return Usd(0)
    named = ascii(model[:_MODEL_CHARS_MAX])
    message = f"the price table has no entry for model {named}, so its cost cannot be capped"
    return Refusal("price_unknown", message)


def _matches(rule: PriceRule, path: str, model: str | None) -> bool:
    if rule.path is not None:
        return fnmatchcase(path, rule.path)
    return model is not None and rule.model is not None and fnmatchcase(model, rule.model)


def _priced(rule: PriceRule, fields: Mapping[str, object] | Unread) -> Usd | Refusal:
    if rule.usd is not None:
        return rule.usd
    if isinstance(fields, Unread):
        return _unpriced(fields)
    # Where a call names its length twice, the provider may read either: the longer one counts.
    named = [fields[name] for name in _SECONDS_FIELDS if name in fields] or [rule.default_seconds]
    lengths = [_seconds(value) for value in named]
    if None in lengths:
        return Refusal(
            "price_unknown",
            "the call is priced by the second: its length must be a whole number of seconds from 1"
            f" to {_SECONDS_MAX} (-1, which leaves it to the model, has no price)",
        )
    return Usd((rule.usd_per_second or 0) * max(length or 0 for length in lengths))


def _unpriced(body: Unread) -> Refusal:
    message = (
        f"the body does not tell what the call costs, so that cannot be capped: {body.why};"
        " a rule of prices with a path and a flat usd would price it unread"
    )
    return Refusal("price_unknown", message)


def _seconds(value: object) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _SECONDS_MAX:
        return None
    return value
