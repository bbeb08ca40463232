"""Choosing what to pay of a challenge: by our own tables, and refusing with a reason that helps."""

import base64
import json
from typing import Any

import pytest

from proxy.core.money import USD_MAX
from proxy.core.x402.assets import BUILT_IN, V1_NETWORKS, Asset, AssetTable, chain_id, is_address
from proxy.core.x402.authorization import (
    Authorization,
    authorize,
    digest,
    header_names,
    payment_header,
)
from proxy.core.x402.terms import SHOWN_MAX, Allowed, Terms, choose
from tests.x402.offers import (
    BASE_USDC,
    EVERYWHERE,
    NONCE,
    NOW,
    PAYEE,
    WALLET,
    allowed,
    document,
    entry,
    read,
    refusal,
    terms,
)

SEPOLIA: dict[str, Any] = {
    "network": "eip155:84532",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "extra": {"name": "USDC", "version": "2"},
}
BOTH = allowed(networks=("eip155:8453", "eip155:84532"))


class TestRefusals:
    """Whatever is not known is refused, and the message lists what is."""

    @pytest.mark.parametrize(
        "scheme", ["upto", "Exact", "exact ", "", "batch-settlement", "deferred"]
    )
    def test_scheme(self, scheme: str) -> None:
        """Only `exact` is signed, spelt so."""
        refused = refusal(entry(scheme=scheme))
        assert refused.code == "scheme_not_supported"
        assert refused.message.endswith(f"scheme {scheme!r} is not supported; supported are exact")

    @pytest.mark.parametrize("flow", ["escrow", "", None, 1, {}, ["authorization"], "Upfront"])
    def test_flow(self, flow: object) -> None:
        """A flow that we do not know is refused."""
        refused = refusal(entry(extra={"paymentFlow": flow}))
        assert refused.code == "scheme_not_supported"
        assert "supported are authorization, upfront" in refused.message

    @pytest.mark.parametrize("flow", ["authorization", "upfront"])
    def test_known_flow(self, flow: str) -> None:
        """The two flows that take no more than was signed are fine."""
        terms(entry(extra={"paymentFlow": flow}))

    @pytest.mark.parametrize("method", ["permit2", "erc7710", "", None, 3009, {}, ["eip3009"]])
    def test_transfer_method(self, method: object) -> None:
        """Only EIP-3009 is signed, and Permit2 is named as what is refused."""
        refused = refusal(entry(extra={"assetTransferMethod": method}))
        assert refused.code == "scheme_not_supported"
        assert "supported are eip3009" in refused.message

    @pytest.mark.parametrize(
        ("version", "network"),
        [
            (2, "eip155:1"), (2, "eip155:84532"), (2, "base"), (2, "EIP155:8453"), (2,
            "eip155:08453"),
            (2, "eip155:8453 "), (2, ""), (2, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
            (1, "solana"), (1, "story"), (1, "Base"), (1, "base-sepolia"), (1, "toString"),
        ],
    )  # fmt: skip
    def test_network(self, version: int, network: str) -> None:
        """A network that is not enabled is refused, unknown names of version 1 too."""
        refused = refusal(entry(version, network=network), version=version)
        assert refused.code == "network_not_allowed"
        assert refused.message.endswith("is not enabled; enabled are eip155:8453")

    def test_no_network_at_all(self) -> None:
        """With nothing enabled the message says so."""
        assert refusal(entry(), may=allowed(networks=())).message.endswith("enabled are none")

    @pytest.mark.parametrize(
        "asset",
        [SEPOLIA["asset"], PAYEE, "USDC", "", BASE_USDC[2:], BASE_USDC + " ", "0x" + "0" * 40],
    )
    def test_asset(self, asset: str) -> None:
        """A token that is not in our table for this very network is refused."""
        refused = refusal(entry(asset=asset), may=BOTH)
        assert refused.code == "asset_not_allowed"
        assert refused.message.endswith(f"known are USDC {BASE_USDC}")

    @pytest.mark.parametrize(
        ("extra", "key"),
        [
            ({"name": "USDC", "version": "2"}, "name"),
            ({"name": "USD Coin ", "version": "2"}, "name"),
            ({"name": None}, "name"),
            ({"name": ["USD Coin"]}, "name"),
            ({"name": "USD Coin", "version": "1"}, "version"),
            ({"name": "USD Coin", "version": 2}, "version"),
            ({"version": None}, "version"),
        ],
    )
    def test_domain(self, extra: dict[str, object], key: str) -> None:
        """A seller that says another EIP-712 domain than the token's is refused."""
        refused = refusal(entry(extra=extra))
        assert refused.code == "challenge_invalid"
        assert f"EIP-712 {key}" in refused.message

    @pytest.mark.parametrize("extra", [{}, {"name": "USD Coin"}, {"version": "2"}, ...])
    def test_silent_about_the_domain(self, extra: object) -> None:
        """Our table knows it: a seller need not say."""
        assert terms(entry(extra=extra)).asset.domain_name == "USD Coin"

    @pytest.mark.parametrize(
        "payee",
        ["", "0x", PAYEE[2:], PAYEE[:-1], PAYEE + "0", PAYEE + "\n", "0X" + PAYEE[2:],
        "vitalik.eth",
         "0x" + "g" * 40, "0x" + "\uff11" * 40],
    )  # fmt: skip
    def test_payee_that_is_no_address(self, payee: str) -> None:
        """A payee is 0x and forty hex digits."""
        assert refusal(entry(payTo=payee)).code == "challenge_invalid"

    @pytest.mark.parametrize(
        "payee",
        ["0x" + "0" * 40, BASE_USDC, BASE_USDC.lower(), WALLET.address, WALLET.address.lower()],
    )
    def test_payee_that_makes_no_sense(self, payee: str) -> None:
        """Nobody, the token, and ourselves are not paid, in whatever case they are written."""
        refused = refusal(entry(payTo=payee))
        assert refused.code == "payee_not_allowed"
        assert "to nobody, to the token itself or to our own wallet" in refused.message

    def test_payee_that_is_not_on_the_list(self) -> None:
        """A list of payees is compared without case, and shown when it does not match."""
        other = "0x" + "a" * 40
        may = allowed(payees=(PAYEE.lower(), other.upper().replace("X", "x")))
        terms(entry(), may=may)
        terms(entry(payTo=other), may=may)
        refused = refusal(entry(payTo="0x" + "b" * 40), may=may)
        assert refused.code == "payee_not_allowed"
        assert PAYEE.lower() in refused.message

    def test_strangers_words_are_short_and_escaped(self) -> None:
        """What a seller wrote stands in our sentence quoted, in ASCII, and cut off."""
        refused = refusal(entry(scheme="ex\r\nact\x1b[2J" + "é" * 500))
        assert refused.message.replace("…", "").isascii()
        assert refused.message.isprintable()
        assert len(refused.message) < SHOWN_MAX + 100

    def test_furthest_refusal_wins(self) -> None:
        """Of several refusals the one that came nearest to being paid is told."""
        nearest = entry(payTo="0x" + "0" * 40)
        for order in (1, -1):
            entries = [
                None,
                entry(scheme="upto"),
                entry(network="eip155:1"),
                entry(asset=PAYEE),
                nearest,
            ]
            assert refusal(*entries[::order]).code == "payee_not_allowed"
        assert refusal(None, entry(scheme="upto")).code == "scheme_not_supported"


class TestChoice:
    """The cheapest that is acceptable."""

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_cheapest(self, order: tuple[int, ...]) -> None:
        """Whatever the seller's order."""
        offers = [entry(amount="30"), entry(amount="7"), entry(amount="100")]
        assert terms(*(offers[index] for index in order)).offer.amount == 7

    def test_amounts_are_compared_as_numbers(self) -> None:
        """Nine is less than ten, and 0008 is less than nine."""
        assert terms(entry(amount="10"), entry(amount="9"), entry(amount="0008")).offer.amount == 8

    def test_dollars_are_compared_and_not_units(self) -> None:
        """A token of eighteen decimals is dearer in units and may be cheaper in dollars."""
        coin = Asset("eip155:8453", "0x" + "c" * 40, "DAI", "Dai", "1", 18)
        may = Allowed(("eip155:8453",), AssetTable((coin, *BUILT_IN)), None, WALLET.address)
        cheap = entry(
            asset=coin.address, amount=str(9 * 10**15), extra={"name": "Dai", "version": "1"}
        )
        chosen = choose(read(document(entry(), cheap)), may)
        assert isinstance(chosen, Terms)
        assert (chosen.asset.symbol, chosen.price) == ("DAI", 9000)

    def test_seller_decides_between_equals(self) -> None:
        """Of two that cost the same the first is taken."""
        assert terms(entry(maxTimeoutSeconds=20), entry()).offer.max_timeout_s == 20

    def test_bad_beside_good(self) -> None:
        """A cheaper one that cannot be signed is passed over."""
        bad = [
            entry(amount="1", scheme="upto"),
            entry(amount="1", payTo=WALLET.address),
            entry(amount=1),
            entry(amount="1", extra={"name": "Fake"}),
            None,
        ]
        assert terms(*bad, entry()).offer.amount == 10_000

    def test_either_network(self) -> None:
        """All networks that are enabled are looked at."""
        chosen = terms(entry(amount="5"), entry(amount="4", **SEPOLIA), may=BOTH)
        assert chosen.asset.chain_id == 84532

    @pytest.mark.parametrize("name", [n for n, c in V1_NETWORKS.items() if c in EVERYWHERE])
    def test_names_of_version_1(self, name: str) -> None:
        """Version 1 names its networks, and its header names them back."""
        (asset,) = AssetTable().on(V1_NETWORKS[name])
        chosen = terms(
            entry(1, network=name, asset=asset.address, extra=...),
            version=1, may=allowed(networks=EVERYWHERE),
        )  # fmt: skip
        assert chosen.asset == asset
        auth = authorize(chosen, WALLET.address, NOW, NONCE, 300)
        sent = json.loads(base64.b64decode(payment_header(chosen, auth, bytes(65), "p")))
        assert sent["network"] == name

    def test_amount_past_every_cap(self) -> None:
        """An absurd amount is worth as much as can be counted, and no small number."""
        assert terms(entry(amount=str(2**256 - 1))).price == USD_MAX


class TestAuthorization:
    """What is signed, and for how long."""

    @pytest.mark.parametrize(
        ("theirs", "ours", "life"),
        [(60, 300, 60), (300, 60, 60), (300, 300, 300), (10**30, 300, 300)],
    )
    @pytest.mark.parametrize(("version", "since"), [(1, NOW - 600), (2, 0)])
    def test_window(self, theirs: int, ours: int, life: int, version: int, since: int) -> None:
        """The shorter of their time and ours; the beginning as each version's clients have it."""
        chosen = terms(entry(version, maxTimeoutSeconds=theirs), version=version)
        auth = authorize(chosen, WALLET.address, NOW, NONCE, ours)
        assert (auth.valid_after, auth.valid_before) == (since, NOW + life)
        assert (auth.value, auth.pay_to, auth.nonce) == (10_000, PAYEE, NONCE)

    def test_clock_at_the_beginning_of_time(self) -> None:
        """A window never opens before zero."""
        assert authorize(terms(entry(1), version=1), WALLET.address, 5, NONCE, 60).valid_after == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            {"nonce": bytes(31)},
            {"nonce": bytes(33)},
            {"valid_after": -1},
            {"valid_after": 60},
            {"valid_after": 61},
        ],
    )
    def test_nonsense_cannot_be_built(self, wrong: dict[str, object]) -> None:
        """A nonce has 32 bytes, and a window opens before it closes."""
        fields: dict[str, object] = {
            "payer": WALLET.address, "pay_to": PAYEE, "value": 1,
            "valid_after": 0, "valid_before": 60, "nonce": NONCE,
        }  # fmt: skip
        with pytest.raises(ValueError, match="a nonce of 32 bytes"):
            Authorization(**{**fields, **wrong})  # type: ignore[arg-type] # wrong on purpose

    def test_every_field_is_signed(self) -> None:
        """No two that differ in anything have one digest."""
        chosen = terms(entry())
        auth = authorize(chosen, WALLET.address, NOW, NONCE, 60)
        others = [
            authorize(chosen, PAYEE, NOW, NONCE, 60),
            authorize(terms(entry(payTo="0x" + "1" * 40)), WALLET.address, NOW, NONCE, 60),
            authorize(terms(entry(amount="10001")), WALLET.address, NOW, NONCE, 60),
            authorize(chosen, WALLET.address, NOW + 1, NONCE, 60),
            authorize(chosen, WALLET.address, NOW, bytes(32), 60),
        ]
        digests = {digest(each, chosen.asset) for each in (auth, *others)}
        digests |= {digest(auth, asset) for asset in BUILT_IN if asset != chosen.asset}
        assert len(digests) == 6 + len(BUILT_IN) - 1

    def test_case_of_an_address_does_not_matter(self) -> None:
        """An address means the same in any case, and is echoed as it was written."""
        lower = terms(entry(payTo=PAYEE.lower(), asset=BASE_USDC.lower()))
        one = authorize(lower, WALLET.address, NOW, NONCE, 60)
        other = authorize(terms(entry()), WALLET.address, NOW, NONCE, 60)
        assert digest(one, lower.asset) == digest(other, lower.asset)
        assert one.pay_to == PAYEE.lower()

    @pytest.mark.parametrize(
        ("version", "both", "names"),
        [
            (1, False, (b"X-PAYMENT",)),
            (2, False, (b"PAYMENT-SIGNATURE",)),
            (1, True, (b"PAYMENT-SIGNATURE", b"X-PAYMENT")),
            (2, True, (b"PAYMENT-SIGNATURE", b"X-PAYMENT")),
        ],
    )
    def test_header_names(self, version: int, *, both: bool, names: tuple[bytes, ...]) -> None:
        """Each version has its header; a seller whose documents name either gets both."""
        assert header_names(version, both=both) == names


class TestPaymentIdentifier:
    """The extension that lets a seller recognise one payment."""

    @staticmethod
    def sent(extensions: object) -> object:
        """The extensions of a payment for a challenge that declares some."""
        challenge = read(document(extensions=extensions))
        chosen = choose(challenge, allowed())
        assert isinstance(chosen, Terms)
        auth = authorize(chosen, WALLET.address, NOW, NONCE, 60)
        text = base64.b64decode(payment_header(chosen, auth, bytes(65), "pay_1"))
        return json.loads(text).get("extensions", "none")

    def test_declared(self) -> None:
        """Where it is declared our id is added, and everything else stays."""
        given = {"x": {"a": 1}, "payment-identifier": {"info": {"required": True}, "schema": {}}}
        assert self.sent(given) == {
            "x": {"a": 1},
            "payment-identifier": {"info": {"required": True, "id": "pay_1"}, "schema": {}},
        }

    @pytest.mark.parametrize(
        "given",
        [
            {"x": {"a": 1}},
            {"payment-identifier": None},
            {"payment-identifier": []},
            {"payment-identifier": {"schema": {}}},
            {"payment-identifier": {"info": "x"}},
            {},
        ],
    )
    def test_not_declared(self, given: object) -> None:
        """Where it is not, or makes no sense, the extensions are echoed as they were."""
        assert self.sent(given) == given

    def test_no_extensions(self) -> None:
        """Where there are none, none are sent."""
        assert self.sent(None) == "none"


class TestAssets:
    """Our own table."""

    def test_built_in(self) -> None:
        """One dollar token of six decimals a network, each address once."""
        assert len({asset.network for asset in BUILT_IN}) == len(BUILT_IN) == 13
        assert len({asset.address.lower() for asset in BUILT_IN}) == 13
        assert {(a.symbol, a.decimals, a.domain_version) for a in BUILT_IN} == {("USDC", 6, "2")}

    @pytest.mark.parametrize(
        "network",
        ["", "eip155", "eip155:", "eip155:0", "eip155:-1", "eip155:08453", "eip155:8453 ",
        "eip155:x",
         "base", "solana:x", "eip155:1:2", "eip155:" + "9" * 19, "eip155:\uff11"],
    )  # fmt: skip
    def test_networks_that_are_none(self, network: str) -> None:
        """A chain id is a positive decimal number without frills."""
        with pytest.raises(ValueError, match="not an EVM network"):
            chain_id(network)

    @pytest.mark.parametrize(("address", "decimals"), [("0x12", 6), (PAYEE, -1), (PAYEE, 37)])
    def test_assets_that_are_none(self, address: str, decimals: int) -> None:
        """An asset with nonsense in it cannot be built."""
        with pytest.raises(ValueError, match=r"not an address|decimals"):
            Asset("eip155:1", address, "X", "X", "1", decimals)

    @pytest.mark.parametrize("thing", [None, 5, b"0x", PAYEE[:-1], PAYEE + "\n", " " + PAYEE])
    def test_addresses_that_are_none(self, thing: object) -> None:
        """An address is text of exactly that form."""
        assert not is_address(thing)
