"""Ids and times in the forms that the three providers document; the ids are random."""

import secrets
import string
from datetime import UTC, datetime

_LOWER = string.ascii_lowercase + string.digits
_MIXED = string.ascii_letters + string.digits


def letters(count: int, alphabet: str = _LOWER) -> str:
    """Random letters and digits."""
    return "".join(secrets.choice(alphabet) for _ in range(count))


def transaction() -> str:
    """A transaction hash: 32 random bytes."""
    return f"0x{secrets.token_hex(32)}"


def blockrun_asset() -> str:
    """`ta_abcdef1234567890`."""
    return f"ta_{secrets.token_hex(8)}"


def blockrun_group() -> str:
    """`tg_9876543210123`."""
    return f"tg_{letters(13, string.digits)}"


def sunra_asset(now: float) -> str:
    """`cgt-20260609-abc123`."""
    return f"cgt-{_stamp(now, '%Y%m%d')}-{letters(6)}"


def sunra_prediction() -> str:
    """`pd_vXW7VwPN2MbTwT8bzpWrYU5Y`."""
    return f"pd_{letters(24, _MIXED)}"


def pomex(kind: str, now: float) -> str:
    """`asset-20260619150241-b8xd4`, and the same for `group` and `cgt`."""
    return f"{kind}-{_stamp(now, '%Y%m%d%H%M%S')}-{letters(5)}"


def iso_ms(now: float) -> str:
    """`2026-05-22T14:32:11.000Z`, as BlockRun and Sunra write times."""
    return f"{_stamp(now, '%Y-%m-%dT%H:%M:%S')}.{int(now * 1000) % 1000:03d}Z"


def iso_s(now: float) -> str:
    """`2026-06-19T07:02:41Z`, as PomexAI writes times."""
    return _stamp(now, "%Y-%m-%dT%H:%M:%SZ")


def _stamp(now: float, form: str) -> str:
    return datetime.fromtimestamp(now, UTC).strftime(form)
