"""The wallet: the only room that sees the private key.

It signs 32-byte digests and says its address; nothing else comes out, in a repr, a log or a
traceback neither. Signatures are deterministic (RFC 6979), so that a header can be built again
from its row in the ledger.
"""

import json
import sys
from pathlib import Path
from typing import Final, final

from coincurve import PrivateKey
from sha3 import keccak_256

from proxy.configfile import ConfigError, Problem, read_reference, resolve_secret
from proxy.core.config import KeyRef

KEY_BYTES: Final = 32
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_V_OFFSET: Final = 27


@final
class Wallet:
    """Signs digests with one secp256k1 key. `address` is checksummed as EIP-55 says."""

    __slots__ = ("__key", "address")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES or not 0 < int.from_bytes(key, "big") < _ORDER:
            raise ValueError("not a secp256k1 private key")
        self.__key = PrivateKey(key)
        self.address = address_of(key)

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest: r, s (low) and v (27 or 28), 65 bytes."""
        signature = self.__key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + _V_OFFSET])

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a wallet is not to be copied or stored")


def load_wallet(ref: KeyRef, base: Path) -> Wallet:
    """Open the wallet that a config names.

    ConfigError says why it cannot be, and never what was read.
    """
    if ref.keystore is not None and ref.password is not None:
        password = resolve_secret(ref.password, base, "wallet.key.password")
        return _wallet(
            _decrypt(read_reference(ref, base, "wallet.key"), password), "wallet.key.keystore"
        )
    return _wallet(_from_hex(resolve_secret(ref, base, "wallet.key").strip()), "wallet.key")


def address_of(key: bytes) -> str:
    """The checksummed address of a private key."""
    public = PrivateKey(key).public_key.format(compressed=False)[1:]
    plain = keccak_256(public).digest()[-20:].hex()
    nibbles = keccak_256(plain.encode()).hexdigest()
    return "0x" + "".join(
        c.upper() if n >= "8" else c for c, n in zip(plain, nibbles, strict=False)
    )


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""


def _wallet(key: bytes, where: str) -> Wallet:
    try:
        return Wallet(key)
    except ValueError:
        raise ConfigError(
            [Problem(where, "does not hold a private key: 64 hex digits, with or without 0x")]
        ) from None


def _decrypt(keystore: bytes, password: str) -> bytes:
    # Something that this import pulls in lifts Python's limit of recursion to 100,000, and under
    # that a stranger's text of nested brackets overflows the stack and kills the process.
    limit = sys.getrecursionlimit()
    from eth_account import Account  # noqa: PLC0415 - it takes a second, and few wallets are keystores

    sys.setrecursionlimit(limit)
    try:
        return bytes(Account.decrypt(json.loads(keystore), password))
    except (ValueError, TypeError, KeyError, NotImplementedError, RecursionError):
        problem = Problem(
            "wallet.key.keystore",
            "cannot be decrypted: a wrong password, or not a keystore of version 3",
        )
        raise ConfigError([problem]) from None
