"""The daemon's own answers: every code has its status and its kind."""

import pytest

from proxy.core.errors import MESSAGE_CHARS_MAX, STATUS, Refusal, Refused

TABLE = {
    400: "bad_request bad_path route_conflict provider_unknown field_not_supported",
    401: "client_token",
    403: "cap_per_request cap_call cap_total price_unknown payee_not_allowed asset_not_allowed"
    " network_not_allowed scheme_not_supported quote_jump origin_refused",
    404: "no_route job_unknown portrait_unknown clip_unknown",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    421: "wrong_host",
    431: "headers_too_large",
    409: "payment_pending result_not_kept portrait_name_taken portrait_not_verified clip_not_ready",
    422: "idempotency_mismatch",
    429: "cap_hour cap_day cap_week cap_month cap_outstanding",
    502: "upstream_unreachable challenge_invalid poll_url_refused payment_outcome_unknown",
    503: "paused ledger_unavailable wallet_frozen",
    504: "upstream_timeout",
    500: "internal_error",
}


def test_the_public_table() -> None:
    """Clients branch on these: none may move or go."""
    assert {code: status for status, codes in TABLE.items() for code in codes.split()} == STATUS


@pytest.mark.parametrize("code", STATUS)
def test_body(code: str) -> None:
    """Each code makes a body of the one shape, with a type of a closed set."""
    refusal = Refusal(code, "why", payment="pay_1")
    error = refusal.body()["error"]
    assert error == {
        "message": "why",
        "type": error["type"],
        "code": code,
        "payment": "pay_1",
    }
    money = code.startswith(("cap_", "price_", "payee_", "asset_", "network_", "scheme_", "quote_"))
    side = "invalid_request_error" if refusal.status < 500 else "upstream_error"
    side = "daemon_error" if refusal.status in (500, 503) else side
    assert error["type"] == ("payment_refused" if money else side)
    assert "payment" not in Refusal(code, "why").body()["error"]


def test_code_that_is_none() -> None:
    """A code that is not in the table cannot be made."""
    with pytest.raises(ValueError, match="'cap_year'"):
        Refusal("cap_year", "why")


@pytest.mark.parametrize("length", [MESSAGE_CHARS_MAX, MESSAGE_CHARS_MAX + 1, 10**6])
def test_long_message(length: int) -> None:
    """What repeats a client's very long word keeps its beginning and its end."""
    said = Refusal("bad_request", "why " + "x" * (length - 8) + " how").message
    assert len(said) <= MESSAGE_CHARS_MAX
    assert (said.startswith("why x"), said.endswith("x how")) == (True, True)


def test_refusal_on_its_way_up() -> None:
    """An exception carries it and says it."""
    refusal = Refusal("paused", "why")
    problem = Refused(refusal)
    assert (problem.refusal, str(problem)) == (refusal, "paused: why")
