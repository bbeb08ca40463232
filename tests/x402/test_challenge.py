"""Reading what a 402 offers: every way to write it wrong, and the right ones."""

import base64
import json
from typing import Any

import pytest

from proxy.core.x402.challenge import (
    BODY_BYTES_MAX,
    HEADER_BYTES_MAX,
    OFFERS_MAX,
    BadOffer,
    Challenge,
    Malformed,
    Offer,
    challenge_in_body,
    challenge_in_headers,
)
from tests.x402.offers import PAYEE, document, entry, header, malformed, read, refusal, terms

SHORTEST = json.dumps(document()).encode()


def only(challenge: Challenge) -> Offer | BadOffer:
    """The one entry."""
    (offer,) = challenge.offers
    return offer


class TestAmounts:
    """An amount is a string of ASCII digits, above zero and below 2**256."""

    @pytest.mark.parametrize("version", [1, 2])
    @pytest.mark.parametrize(
        "amount",
        [
            "1e6", "1E6", "0x10", "0b1", "0o7", " 10", "10 ", "1 0", "10\n", "\t10", "+5", "-1",
            "-0", "1_000", "1,000", "\uff11\uff10", "\u0661٢", "\u00b2", "\u2167",
            "2009999.9999999998",
            "1.0", "1.", ".5", "0", "00", "0" * 78, "", "NaN", "Infinity", "null", "0x", "10n",
            "1\0",
            str(2**256), "9" * 78, "1" * 79, "0" * 70 + "1" * 9, "9" * 5000,
            10000, 10000.0, 0, -1, 1e6, None, True, False, ["10000"], {"value": "10000"}, ...,
        ],
    )  # fmt: skip
    def test_malformed(self, amount: Any, version: int) -> None:
        """Whatever else it is, it is no amount: the entry cannot be signed."""
        key = "amount" if version == 2 else "maxAmountRequired"
        offer = only(read(document(entry(version, **{key: amount}), version=version)))
        assert isinstance(offer, BadOffer)
        assert f"`{key}`" in offer.reason
        refused = refusal(entry(version, **{key: amount}), version=version)
        assert refused.code == "challenge_invalid"

    @pytest.mark.parametrize(
        ("text", "amount"),
        [
            ("1", 1),
            ("10000", 10_000),
            ("0000000001", 1),
            ("0" * 77 + "1", 1),
            (str(2**256 - 1), 2**256 - 1),
        ],
    )
    def test_well_formed(self, text: str, amount: int) -> None:
        """Digits are digits; leading zeros are odd, but have one meaning."""
        offer = only(read(document(entry(amount=text))))
        assert isinstance(offer, Offer)
        assert offer.amount == amount
        assert offer.raw["amount"] == text

    def test_amount_of_the_other_version(self) -> None:
        """A version's amount stands under its own key."""
        assert isinstance(only(read(document(entry(amount=..., maxAmountRequired="1")))), BadOffer)
        both = entry(amount="1", maxAmountRequired="2")
        assert terms(both).offer.amount == 1


class TestTimeouts:
    """`maxTimeoutSeconds` is an integer of at least ten."""

    @pytest.mark.parametrize(
        "timeout",
        ["60", "", 0, 9, -1, -60, 60.0, 60.5, 1e3, None, True, [60], {"s": 60}, "0x3c", ...],
    )
    def test_malformed(self, timeout: Any) -> None:
        """Strings, floats, booleans, and times too short to settle in."""
        offer = only(read(document(entry(maxTimeoutSeconds=timeout))))
        assert isinstance(offer, BadOffer)
        assert "maxTimeoutSeconds" in offer.reason

    @pytest.mark.parametrize("timeout", [10, 11, 3600, 2**31, 2**63, 10**100])
    def test_well_formed(self, timeout: int) -> None:
        """However long theirs is: ours is shorter."""
        assert terms(entry(maxTimeoutSeconds=timeout)).offer.max_timeout_s == timeout


class TestExtra:
    """`extra` is an object, a JSON string of one, or nothing."""

    @pytest.mark.parametrize(
        "extra", [..., None, {}, "{}", '{"name":"USD Coin","version":"2"}', {"feePayer": "x"}]
    )
    def test_well_formed(self, extra: Any) -> None:
        """It is read, and echoed as it stood."""
        given = entry(extra=extra)
        assert terms(given).offer.raw == given

    @pytest.mark.parametrize(
        "extra",
        ["", "x", "[]", '"{}"', "1", "null", [], [1], 1, True, 0.5, '{"a":1,"a":2}', "{", "NaN",
         '{"name":"\\ud800"}'],
    )  # fmt: skip
    def test_malformed(self, extra: Any) -> None:
        """What is neither spoils the entry, a string of ambiguous JSON too."""
        offer = only(read(document(entry(extra=extra))))
        assert isinstance(offer, BadOffer)
        assert "`extra`" in offer.reason

    def test_domain_in_a_string(self) -> None:
        """What the string says is held against our table like an object."""
        assert refusal(entry(extra='{"name":"USDC"}')).code == "challenge_invalid"


@pytest.mark.parametrize("key", ["scheme", "network", "asset", "payTo"])
@pytest.mark.parametrize("value", [..., None, 1, True, [], {}, ["exact"]])
def test_words_that_are_no_strings(key: str, value: Any) -> None:
    """Scheme, network, asset and payee are strings."""
    offer = only(read(document(entry(**{key: value}))))
    assert isinstance(offer, BadOffer)
    assert f"`{key}`" in offer.reason


@pytest.mark.parametrize("bad", [None, 1, "x", [], [entry()], True])
def test_entry_that_is_no_object(bad: Any) -> None:
    """It spoils itself, and a good one beside it is still taken."""
    assert "not an object" in refusal(bad).message
    assert terms(bad, entry()).offer.amount == 10_000


class TestDocument:
    """The challenge as a whole."""

    @pytest.mark.parametrize(
        "version", [3, 0, -1, "1", "2", True, False, 2.0, 1.0, 2.5, None, [2], {"v": 2}, 22]
    )
    def test_version(self, version: Any) -> None:
        """Versions are the integers 1 and 2, and nothing that is merely equal to them."""
        assert "x402Version" in malformed({**document(), "x402Version": version})

    def test_without_a_version(self) -> None:
        """A challenge that does not say its version is none."""
        assert "x402Version" in malformed({"accepts": [entry()]})

    @pytest.mark.parametrize("accepts", [None, [], {}, "x", 1, {"0": entry()}])
    def test_accepts_nothing(self, accepts: Any) -> None:
        """`accepts` is a list of at least one."""
        assert "`accepts`" in malformed({"x402Version": 2, "accepts": accepts})

    def test_how_many_entries(self) -> None:
        """Sixteen are read, seventeen are not, good as they may be."""
        assert len(read(document(*[entry()] * OFFERS_MAX)).offers) == OFFERS_MAX
        reason = malformed(document(*[entry()] * (OFFERS_MAX + 1)))
        assert "17 entries" in reason
        assert "at most 16" in reason

    @pytest.mark.parametrize("key", ["resource", "extensions"])
    @pytest.mark.parametrize("value", ["https://x.example", [], 1, True, [{}]])
    def test_resource_and_extensions(self, key: str, value: Any) -> None:
        """In version 2 they are objects, or not there."""
        assert "`resource` or `extensions`" in malformed(document(**{key: value}))
        assert read(document(version=1, **{key: value})).version == 1

    @pytest.mark.parametrize("value", [[], "x", 1, True, None, [document()]])
    def test_no_object(self, value: Any) -> None:
        """A challenge is an object."""
        assert malformed(json.dumps(value)) == "the challenge is not a JSON object"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "not valid JSON"),
            ("{", "not valid JSON"),
            ("{} {}", "not valid JSON"),
            ("{'x402Version': 2}", "not valid JSON"),
            ('{"x402Version": 2,}', "not valid JSON"),
            ("\ufeff" + json.dumps(document()), "not valid JSON"),
            ('{"x402Version": 02}', "not valid JSON"),
            (f'{{"x402Version": 2, "n": {"9" * 5000}}}', "not valid JSON"),
            ('{"x402Version": 2, "n": NaN}', "NaN and infinities"),
            ('{"x402Version": 2, "n": -Infinity}', "NaN and infinities"),
            ('{"x402Version": 2, "n": 1e999}', "past every float"),
            ('{"x402Version": 2, "n": -1e999}', "past every float"),
            ('{"x402Version": 2, "n": "\\ud800"}', "surrogate"),
            ('{"x402Version": 2, "\\udfff": 1}', "surrogate"),
            ('{"x402Version": 2, "x402Version": 2}', "same key twice"),
            ('{"x402Version": 2, "accepts": [{"amount": "1", "amount": "1"}]}', "same key twice"),
            ('{"a": {"b": [{"c": {"d": 1, "d": 2}}]}}', "same key twice"),
            ('{"amount": "1", "\\u0061mount": "2"}', "same key twice"),
            ('{"a": ' * 17 + "1" + "}" * 17, "nested deeper than 16"),
            ("[" * 17 + "]" * 17, "nested deeper than 16"),
            ("[" * 40_000, "n"),
            ('{"a":' * 8000 + "1" + "}" * 8000, "nested deeper"),
        ],
    )
    def test_text_with_no_meaning_or_with_two(self, text: str, reason: str) -> None:
        """A text that two readers could read in two ways, or not write again, is refused whole."""
        assert reason in malformed(text)

    def test_nesting_at_the_limit(self) -> None:
        """Sixteen levels are read."""
        deep: Any = 1
        for _ in range(14):
            deep = {"x": deep}
        assert read(document(extensions={"e": deep})).extensions == {"e": deep}
        assert "nested" in malformed(document(extensions={"e": {"x": deep}}))

    def test_reason_quotes_nothing(self) -> None:
        """What a stranger wrote does not come back in our sentences."""
        for text in (
            '{"canary": canary',
            '{"canary": 1, "canary": 1}',
            '{"x402Version": "canary"}',
        ):
            assert "canary" not in malformed(text)


class TestHeader:
    """The challenge in a header."""

    @pytest.mark.parametrize(
        "name", [b"PAYMENT-REQUIRED", b"X-Payment-Required", b"payment-required"]
    )
    @pytest.mark.parametrize("version", [1, 2])
    def test_either_spelling_and_version(self, name: bytes, version: int) -> None:
        """The version is what the document says, wherever it stands."""
        challenge = challenge_in_headers(header(document(version=version), name))
        assert isinstance(challenge, Challenge)
        assert challenge.version == version

    def test_no_header(self) -> None:
        """No header is no challenge, and no error."""
        assert challenge_in_headers(((b"Content-Type", b"application/json"),)) is None

    def test_both_spellings_alike(self) -> None:
        """One challenge under both names is one challenge."""
        headers = header(document()) + header(document(), b"X-PAYMENT-REQUIRED")
        assert isinstance(challenge_in_headers(headers), Challenge)

    def test_one_name_twice(self) -> None:
        """A header that stands twice is refused, were it the same twice."""
        assert challenge_in_headers(header(document()) * 2) == Malformed("two challenge headers")

    @pytest.mark.parametrize("name", [b"PAYMENT-REQUIRED", b"X-PAYMENT-REQUIRED"])
    def test_two_that_differ(self, name: bytes) -> None:
        """Two prices for one thing are none."""
        headers = header(document()) + header(document(entry(amount="1")), name)
        assert challenge_in_headers(headers) == Malformed("two challenge headers")

    @pytest.mark.parametrize(
        "value",
        [
            SHORTEST,
            base64.urlsafe_b64encode(json.dumps(document(error="ÿ?>>>???ÿ"),
            ensure_ascii=False).encode()),
            base64.b64encode(SHORTEST + b" ").rstrip(b"="),
            base64.b64encode(SHORTEST + b"  ") + b"=",
            base64.b64encode(SHORTEST)[:40] + b" " + base64.b64encode(SHORTEST)[40:],
            base64.b64encode(SHORTEST) + b"\n",
            b"\xff\xfe",
            b"====",
            b"a",
            b"!!!!",
            "é".encode("latin-1") * 4,
        ],
    )  # fmt: skip
    def test_not_standard_base64(self, value: bytes) -> None:
        """The alphabet is the standard one, padded, and nothing else is skipped over."""
        assert malformed(value) == "the challenge header is not standard base64"

    def test_rig_of_the_url_alphabet(self) -> None:
        """The URL-safe case above does differ from the standard alphabet."""
        text = json.dumps(document(error="ÿ?>>>???ÿ"), ensure_ascii=False).encode()
        assert set(base64.urlsafe_b64encode(text)) & set(b"-_")
        assert isinstance(challenge_in_headers(header(base64.b64encode(text))), Challenge)

    @pytest.mark.parametrize("value", [b"", b"//79", b"4pi6", base64.b64encode(b"\xff" + SHORTEST)])
    def test_base64_of_no_json(self, value: bytes) -> None:
        """An empty header, broken UTF-8, UTF-16: the text must be JSON in UTF-8."""
        assert "not valid JSON" in malformed(value)
        utf16 = json.dumps(document()).encode("utf-16")
        assert "not valid JSON" in malformed(base64.b64encode(utf16))

    @pytest.mark.parametrize("size", [HEADER_BYTES_MAX + 4, 2 * 1024 * 1024])
    def test_too_large(self, size: int) -> None:
        """A header past its limit is not even decoded."""
        value = base64.b64encode(b"{" + b" " * (size * 3 // 4 - 1))
        assert len(value) == size
        assert "larger than 65536" in malformed(value)

    def test_as_large_as_may_be(self) -> None:
        """At the limit it is read."""
        text = SHORTEST + b" " * (HEADER_BYTES_MAX * 3 // 4 - len(SHORTEST))
        value = base64.b64encode(text)
        assert len(value) == HEADER_BYTES_MAX
        assert isinstance(challenge_in_headers(header(value)), Challenge)


class TestBody:
    """The challenge as a 402's body."""

    @pytest.mark.parametrize("version", [1, 2])
    def test_either_version(self, version: int) -> None:
        """Version 1 stands in the body; version 2 is read there too."""
        challenge = challenge_in_body(json.dumps(document(version=version), indent=2).encode())
        assert isinstance(challenge, Challenge)
        assert challenge.version == version

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b"<html>402</html>", b'{"error": "pay", "price": 1}', b"\xff\xfe"]
    )
    def test_something_else(self, body: bytes) -> None:
        """A page for people, or an empty object, is no challenge and no error."""
        assert challenge_in_body(body) is None

    def test_page_that_speaks_of_accepts(self) -> None:
        """A page with the word in it claims to be a challenge and is none."""
        assert isinstance(challenge_in_body(b'<script>x = {"accepts": []}</script>'), Malformed)

    def test_size(self) -> None:
        """At the limit it is read, past it not."""
        body = SHORTEST.ljust(BODY_BYTES_MAX)
        assert isinstance(challenge_in_body(body), Challenge)
        assert challenge_in_body(body + b" ") == Malformed(
            "the 402's body is larger than 1048576 bytes"
        )


def test_verbatim() -> None:
    """What sellers compare deeply is kept as they wrote it: order, unknown keys, odd case."""
    given = {**entry(payTo=PAYEE.lower(), amount="0010"), "zeta": [1, {"y": None}], "alpha": "Ω"}
    challenge = read(document(given, resource={"url": "u", "x": 1}, extensions={"b": {}, "a": []}))
    offer = only(challenge)
    assert isinstance(offer, Offer)
    assert json.dumps(offer.raw) == json.dumps(given)
    assert (challenge.resource, challenge.extensions) == ({"url": "u", "x": 1}, {"b": {}, "a": []})
