"""Who signed an EIP-3009 authorization, recovered with eth_account.

That shares no code with the daemon's own signing, so neither can hide the other's mistake.
"""

import importlib
import re
from dataclasses import dataclass
from typing import Final, Self

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,78}", re.ASCII)
_NONCE = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}", re.ASCII)

_UINT256: Final = 1 << 256
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""USDC refuses the upper half: each signature would otherwise have a twin (EIP-2)."""

_TYPES: Final = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


@dataclass(frozen=True, slots=True)
class Domain:
    """The EIP-712 domain that a signature binds to: the token's."""

    name: str
    version: str
    chain_id: int
    verifying_contract: str


@dataclass(frozen=True, slots=True)
class Authorization:
    """A parsed `TransferWithAuthorization` with its signature; the nonce in lower case."""

    payer: str
    to: str
    value: int
    valid_after: int
    valid_before: int
    nonce: str
    signature: bytes

    @classmethod
    def parse(cls, message: object, signature: object) -> Self | None:
        """Read the wire form: addresses, decimal strings, hex. None for anything else."""
        if not isinstance(message, dict):
            return None
        payer, to = _text(message, "from", _ADDRESS), _text(message, "to", _ADDRESS)
        numbers = [_text(message, key, _NUMBER) for key in ("value", "validAfter", "validBefore")]
        nonce = _text(message, "nonce", _NONCE)
        signed = _text({"signature": signature}, "signature", _SIGNATURE)
        if not (payer and to and all(numbers) and nonce and signed):
            return None
        value, after, before = (int(number or 0) for number in numbers)
        if max(value, after, before) >= _UINT256:
            return None
        return cls(payer, to, value, after, before, nonce.lower(), bytes.fromhex(signed[2:]))

    def signer(self, domain: Domain) -> str | None:
        """The address whose key signed this under the domain; None where no key can have."""
        r, s, v = self.signature[:32], self.signature[32:64], self.signature[64]
        if v not in (27, 28) or not 0 < int.from_bytes(s) <= _HALF_ORDER or not any(r):
            return None
        return _recover(self, domain)

    def message(self) -> dict[str, object]:
        """The typed data's message."""
        return {
            "from": self.payer,
            "to": self.to,
            "value": self.value,
            "validAfter": self.valid_after,
            "validBefore": self.valid_before,
            "nonce": bytes.fromhex(self.nonce[2:]),
        }


def load() -> None:
    """Import what recovering needs, half a second of it, before a first payment has to wait."""
    importlib.import_module("eth_account.messages")


def _text(message: dict[str, object], key: str, form: re.Pattern[str]) -> str | None:
    value = message.get(key)
    return value if isinstance(value, str) and form.fullmatch(value) else None


def _recover(authorization: Authorization, domain: Domain) -> str | None:
    # Most who import this package never verify: `load` has done this by the time it matters.
    from eth_account import Account  # noqa: PLC0415 - see above
    from eth_account.messages import encode_typed_data  # noqa: PLC0415 - see above
    from eth_keys.exceptions import BadSignature  # noqa: PLC0415 - see above
    from eth_utils.exceptions import ValidationError  # noqa: PLC0415 - see above

    signable = encode_typed_data(
        domain_data={
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.verifying_contract,
        },
        message_types=_TYPES,
        message_data=authorization.message(),
    )
    try:
        return str(Account.recover_message(signable, signature=authorization.signature))
    except (BadSignature, ValidationError, ValueError):
        return None
