"""From a 402 on the wire to terms: what it asks for, and what of it we would pay."""

from proxy.core.errors import Refusal
from proxy.core.http import get
from proxy.core.policy import choose_terms
from proxy.core.x402.challenge import (
    BODY_BYTES_MAX,
    Challenge,
    Malformed,
    challenge_in_body,
    challenge_in_headers,
)
from proxy.core.x402.terms import Terms
from proxy.inflate import inflate
from proxy.replies import broken
from proxy.upstream import Answer, BrokenError
from proxy.visit import Visit
from proxy.wallet import Wallet


async def read_terms(visit: Visit, wallet: Wallet, answer: Answer) -> Terms | Refusal | bytes:
    """Read a 402 and choose what to pay of it, or say why nothing.

    One without a challenge is given back as its body.

    A challenge in the header leaves the body unread. Either way the answer is done with
    afterwards.
    """
    challenge = challenge_in_headers(answer.headers)
    if challenge is not None:
        await answer.discard()
    else:
        body, challenge = await _in_body(visit, answer)
        if challenge is None:
            return body
    return choose_terms(challenge, visit.snapshot.config, visit.provider, wallet.address)


async def _in_body(visit: Visit, answer: Answer) -> tuple[bytes, Challenge | Malformed | None]:
    try:
        body, whole = await answer.read(BODY_BYTES_MAX)
    except BrokenError as problem:
        raise broken(visit.provider, problem) from problem
    finally:
        answer.close()
    if not whole:
        return b"", Malformed(f"its body is larger than {BODY_BYTES_MAX} bytes")
    encoding = (get(answer.headers, b"content-encoding") or b"identity").strip().lower()
    plain = inflate(body, encoding, BODY_BYTES_MAX)
    if plain is None:
        name = encoding.decode("ascii", "replace")
        return b"", Malformed(
            f"its body's encoding ({name}) is unknown, broken or too large inside"
        )
    return body, challenge_in_body(plain)
