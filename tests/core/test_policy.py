"""Policy: what may be bought, under which limits, and what a table says that it costs."""

from typing import Any, ClassVar

import pytest

from proxy.core.bodies import Unread
from proxy.core.config import PriceRule
from proxy.core.errors import Refusal
from proxy.core.policy import (
    all_limits,
    choose_terms,
    limits,
    pays,
    price_fields,
    scopes,
    table_price,
)
from proxy.core.x402.challenge import Challenge, Malformed, Offer
from proxy.core.x402.terms import Terms
from tests.core.parts import PAY, THREE, config, provider, route

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
OFFER = Offer("exact", "eip155:8453", 10_000, USDC, PAYEE, 60, {}, {})


class TestPays:
    """Whether a call may be paid for at all."""

    @pytest.mark.parametrize(
        ("kind", "paid", "rule", "methods"),
        [
            ("http", False, None, ""),
            ("http", False, ["GET", "POST"], ""),
            ("blockrun", True, None, "POST"),
            ("http", True, None, "GET POST"),
            ("http", True, ["DELETE"], "DELETE"),
            ("blockrun", True, ["GET", "PUT", "PATCH"], "GET PUT PATCH"),
            ("http", True, [], ""),
        ],
    )
    def test_table(self, kind: str, *, paid: bool, rule: list[str] | None, methods: str) -> None:
        """The route's methods, else the kind's; nothing without `pay`; HEAD and OPTIONS never."""
        more: dict[str, Any] = {"pay": PAY} if paid else {}
        upstream = provider(kind=kind, **more)
        told: dict[str, Any] = {} if rule is None else {"pay_methods": rule}
        where = route(**told)
        every = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "")
        assert " ".join(m for m in every if pays(upstream, where, m)) == methods

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "get"])
    def test_config_cannot_name_them(self, method: str) -> None:
        """Methods that are never paid for cannot be configured either."""
        with pytest.raises(ValueError, match="pay_methods"):
            route(pay_methods=[method])


class TestTerms:
    """From a challenge to terms, under a config."""

    @staticmethod
    def chosen(pay: dict[str, Any], *offers: Offer) -> Terms | Refusal:
        """The choice of a provider with some `pay`."""
        providers = THREE | {"blockrun": THREE["blockrun"] | {"pay": PAY | pay}}
        return choose_terms(
            Challenge(2, offers or (OFFER,)), config(providers=providers), "blockrun", OTHER
        )

    def test_malformed(self) -> None:
        """What could not be read cannot be paid, and says why."""
        found = choose_terms(Malformed("two challenge headers"), config(), "blockrun", OTHER)
        assert found == Refusal(
            "challenge_invalid", "the provider's 402 cannot be paid: two challenge headers"
        )

    def test_provider_without_pay(self) -> None:
        """Asking for terms of a provider that is never paid is a bug."""
        with pytest.raises(ValueError, match="never paid"):
            choose_terms(Challenge(2, (OFFER,)), config(), "sunra", OTHER)

    @pytest.mark.parametrize(
        ("pay_to", "paid"),
        [
            ("first", True),
            ("any", True),
            ([PAYEE.lower()], True),
            ([OTHER, PAYEE], True),
            ([USDC], False),
        ],
    )
    def test_payees(self, pay_to: object, *, paid: bool) -> None:
        """Only a list restricts here; `first` is the ledger's to pin."""
        found = self.chosen({"pay_to": pay_to})
        assert isinstance(found, Terms) is paid
        assert paid or (isinstance(found, Refusal) and found.code == "payee_not_allowed")

    def test_networks(self) -> None:
        """A network must be enabled for this provider."""
        found = self.chosen({"networks": ["eip155:1"]})
        assert isinstance(found, Refusal)
        assert found.code == "network_not_allowed"

    def test_token_of_the_config(self) -> None:
        """A token that the config adds may be paid with, at its own decimals."""
        token = {"address": PAYEE, "symbol": "EXA", "name": "Exa", "version": "1", "decimals": 18}
        networks = {"eip155:8453": {"assets": [token]}}
        offer = Offer("exact", "eip155:8453", 10**18, PAYEE.lower(), OTHER, 60, {}, {})
        found = choose_terms(Challenge(2, (offer,)), config(networks=networks), "blockrun", USDC)
        assert isinstance(found, Terms)
        assert (found.asset.symbol, found.price) == ("EXA", 1_000_000)


class TestLimits:
    """Which caps a call must pass."""

    CONFIG: ClassVar = config(
        caps={
            "per_request": "1.00",
            "hour": "2.00",
            "day": "none",
            "total": "9.00",
            "outstanding": "0.00",
        },
        providers=THREE | {"sunra": THREE["sunra"] | {"caps": {"week": "3.00"}}},
        routes=[
            {"path": "/a/*", "provider": "sunra", "caps": {"month": "4.00"}},
            {"path": "/b", "provider": "auto"},
        ],
        clients=[
            {"name": "one", "token_sha256": "0" * 64, "caps": {"day": "5.00"}},
            {"name": "two", "token_sha256": "1" * 64},
        ],
    )
    TOP: ClassVar = [
        ("all", "per_request", 1),
        ("all", "hour", 2),
        ("all", "total", 9),
        ("all", "outstanding", 0),
    ]

    @pytest.mark.parametrize(
        ("name", "path", "client", "more"),
        [
            ("pomex", "/b", None, []),
            ("pomex", "/b", "two", []),
            ("pomex", "/b", "nobody", []),
            ("sunra", "/b", None, [("provider:sunra", "week", 3)]),
            ("sunra", "/a/*", "one", [("provider:sunra", "week", 3), ("route:/a/*", "month", 4),
                                      ("client:one", "day", 5)]),
            ("gone", "/gone", "one", [("client:one", "day", 5)]),
        ],
    )  # fmt: skip
    def test_of_a_call(self, name: str, path: str, client: str | None, more: list[Any]) -> None:
        """Those over everything, and those of its provider, route and client."""
        found = limits(self.CONFIG, name, route(path), client)
        assert [(w.scope, w.window, w.usd / 10**6) for w in found] == self.TOP + more

    def test_all(self) -> None:
        """A status page shows every limit that there is."""
        assert [(w.scope, w.window, w.usd / 10**6) for w in all_limits(self.CONFIG)] == [
            *self.TOP, ("provider:sunra", "week", 3), ("route:/a/*", "month", 4), ("client:one",
            "day", 5),
        ]  # fmt: skip

    def test_scopes_cover_the_limits(self) -> None:
        """Whatever limits a call, its holds are counted in that limit's scope."""
        for name, path, client in [
            ("sunra", "/a/*", "one"),
            ("pomex", "/b", None),
            ("x", "/y", "z"),
        ]:
            counted = scopes(name, route(path), client)
            assert {w.scope for w in limits(self.CONFIG, name, route(path), client)} <= set(counted)
        assert scopes("p", route("/r"), None) == ("all", "provider:p", "route:/r")
        assert scopes("p", route("/r"), "c")[-1] == "client:c"


def rules(*prices: dict[str, Any]) -> tuple[PriceRule, ...]:
    """A price table."""
    return tuple(PriceRule.model_validate(price) for price in prices)


UNREAD = Unread("it is written in milk")
TABLE = rules(
    {"path": "/v1/free/*", "usd": "0.00"},
    {"model": "exact", "usd": "0.50"},
    {"model": "fast-*", "usd_per_second": "0.20", "default_seconds": 5},
    {"model": "slow-*", "usd_per_second": "0.10"},
    {"model": "*-any", "usd": "0.01"},
)


class TestTablePrice:
    """What a call costs where no 402 says so."""

    @pytest.mark.parametrize(
        ("path", "model", "fields", "usd"),
        [
            ("/v1/x", "exact", {}, 500_000),
            ("/v1/x", "exact", {"duration": "garbage"}, 500_000),
            ("/v1/free/x", "exact", {}, 0),
            ("/v1/free/x", None, {}, 0),
            ("/v1/x", "fast-1", {}, 1_000_000),
            ("/v1/x", "fast-any", {}, 1_000_000),
            ("/v1/x", "x-any", {}, 10_000),
            ("/v1/x", "fast-1", {"duration": 10}, 2_000_000),
            ("/v1/x", "fast-1", {"duration": "10"}, 2_000_000),
            ("/v1/x", "fast-1", {"duration_seconds": 3, "other": "x"}, 600_000),
            ("/v1/x", "fast-1", {"seconds": "0004"}, 800_000),
            ("/v1/x", "fast-1", {"duration": 3600}, 720_000_000),
            ("/v1/x", "fast-1", {"duration": 1, "seconds": 60}, 12_000_000),
            ("/v1/x", "fast-1", {"duration_seconds": 60, "seconds": "1"}, 12_000_000),
            ("/v1/x", "slow-1", {"seconds": 1}, 100_000),
            ("/v1/x", None, {}, 0),
        ],
    )
    def test_priced(self, path: str, model: str | None, fields: dict[str, Any], usd: int) -> None:
        """The first rule that matches; where a call names two lengths the longer one counts."""
        assert table_price(TABLE, path, model, fields) == usd

    @pytest.mark.parametrize("model", ["unknown", "EXACT", "exact ", "", "fast", "é\r\n"])
    def test_model_without_a_price(self, model: str) -> None:
        """What could not be capped is refused, and named in ASCII."""
        found = table_price(TABLE, "/v1/x", model, {})
        assert isinstance(found, Refusal)
        assert (found.code, found.message.isascii()) == ("price_unknown", True)
        assert found.message.isprintable()

    @pytest.mark.parametrize(
        "seconds",
        [0, -1, 3601, 10**30, 1.5, 5.0, "", " 5", "5s", "+5", "-5", "1e1", "\uff15", "\u00b2",
        "9" * 5000, None,
         True, False, [], {}, ["5"]],
    )  # fmt: skip
    @pytest.mark.parametrize("name", ["duration_seconds", "duration", "seconds"])
    def test_length_that_is_none(self, name: str, seconds: Any) -> None:
        """A length that is no whole number of seconds is refused, beside a good one too."""
        for fields in (
            {name: seconds},
            {"duration": 5, name: seconds},
            {"seconds": 5, name: seconds},
        ):
            found = table_price(TABLE, "/v1/x", "fast-1", fields)
            assert isinstance(found, Refusal)
            assert found.code == "price_unknown"

    def test_length_that_is_left_to_the_model(self) -> None:
        """What is said of -1 is what a length must be, since it is a whole number."""
        found = table_price(TABLE, "/v1/x", "fast-1", {"duration_seconds": -1})
        assert isinstance(found, Refusal)
        assert "whole number of seconds from 1 to 3600" in found.message
        assert "-1, which leaves it to the model, has no price" in found.message

    def test_no_length_and_no_default(self) -> None:
        """A price by the second without any seconds is none."""
        assert isinstance(table_price(TABLE, "/v1/x", "slow-1", {}), Refusal)

    @pytest.mark.parametrize(
        ("path", "model", "usd"),
        [
            ("/v1/free/x", None, 0), ("/v1/free/x", "unknown", 0), ("/v1/x", "exact", 500_000),
            ("/v1/x", "x-any", 10_000), ("/v1/x", None, None), ("/v1/x", "fast-1", None),
            ("/v1/x", "slow-1", None), ("/v1/x", "unknown", None),
        ],
    )  # fmt: skip
    def test_unread_body(self, path: str, model: str | None, usd: int | None) -> None:
        """Only what is flat, and comes before all that might be meant, is a price."""
        found = table_price(TABLE, path, model, UNREAD)
        assert (found if usd is not None else None) == usd
        if usd is None:
            assert isinstance(found, Refusal)
            assert found.code == "price_unknown"
            assert (UNREAD.why in found.message) == (model != "unknown")

    @pytest.mark.parametrize(
        "prices",
        [
            (),
            ({"path": "/v1/other", "usd": "0.10"},),
            ({"path": "/v1/*", "usd_per_second": "0.10", "default_seconds": 5},),
            ({"model": "*", "usd": "0.10"}, {"path": "/v1/*", "usd": "0.10"}),
        ],
    )
    def test_unread_body_without_a_flat_price(self, prices: tuple[dict[str, Any], ...]) -> None:
        """Where no flat price comes first, it is not free: it has none."""
        found = table_price(rules(*prices), "/v1/x", None, UNREAD)
        assert isinstance(found, Refusal)
        assert (found.code, UNREAD.why in found.message) == ("price_unknown", True)

    @pytest.mark.parametrize(
        "fields",
        [{"Model": "m"}, {"model": "m", "MODEL": "n"}, {"duration": 4, "Duration": 9},
         {"\u017fecond\u017f": 9}, {"duration_secondS": 9}, {"model": 5}, {"model": ["m"]}],
    )  # fmt: skip
    def test_fields_that_another_reads_otherwise(self, fields: dict[str, Any]) -> None:
        """Some readers take a name in any case, and others only as it is written."""
        assert isinstance(price_fields(fields), Unread)

    @pytest.mark.parametrize(
        "fields", [{}, {"model": None}, {"model": "M", "Prompt": "x"}, {"seconds": 4, "models": 1}]
    )
    def test_fields_that_all_read_alike(self, fields: dict[str, Any]) -> None:
        """Names that set no price may be written in any case."""
        assert price_fields(fields) is fields

    def test_model_of_many_characters(self) -> None:
        """A refusal repeats a word or two of it."""
        found = table_price(TABLE, "/v1/x", "m" * 10**6, {})
        assert isinstance(found, Refusal)
        assert len(found.message) < 200

    def test_empty_table(self) -> None:
        """With an empty table nothing that names a model goes through."""
        assert isinstance(table_price((), "/v1/x", "m", {}), Refusal)
        assert table_price((), "/v1/x", None, {}) == 0
