"""Bounded inflating.

A body that unpacks to more than a limit is never unpacked to more than the limit.
"""

import zlib
from typing import Final

_WINDOW_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes | None:
    """Undo a content encoding.

    None for an unknown or broken one, or where more than `limit` bytes come out.
    """
    if encoding == b"identity":
        return body
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        return None
    inflater = zlib.decompressobj(bits)
    try:
        # One byte more, since zlib takes a limit of 0 for none.
        plain = inflater.decompress(body, limit + 1)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data and len(plain) <= limit
    return plain if whole else None
