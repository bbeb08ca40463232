"""The tokens and networks that we sign for, from our own table and never from a challenge.

A seller that could name the token's decimals or its EIP-712 domain could make a dollar look like a
millionth of one, so both stand here. Sources: Circle's list of contract addresses; the EIP-712
names were read from the contracts.
"""

import re
from dataclasses import dataclass
from typing import Final

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


DECIMALS_MAX: Final = 36
"""18 is usual; this leaves room, and keeps the arithmetic of caps within reason."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A dollar-pegged token that speaks EIP-3009: where it lives and its EIP-712 domain.

    `network` is a CAIP-2 id such as `eip155:8453`; `address` is 20 bytes of hex with 0x.
    """

    network: str
    address: str
    symbol: str
    domain_name: str
    domain_version: str
    decimals: int

    def __post_init__(self) -> None:
        if not is_address(self.address):
            raise ValueError(f"not an address: {self.address!r}")
        if not 0 <= self.decimals <= DECIMALS_MAX:
            raise ValueError(f"decimals out of range: {self.decimals}")
        chain_id(self.network)

    @property
    def chain_id(self) -> int:
        """The EIP-155 chain id."""
        return chain_id(self.network)


def chain_id(network: str) -> int:
    """The chain id of an EVM network's CAIP-2 id; ValueError for any other."""
    namespace, _, reference = network.partition(":")
    if namespace != "eip155" or not re.fullmatch(r"[1-9][0-9]{0,17}", reference, re.ASCII):
        raise ValueError(f"not an EVM network in CAIP-2 form (eip155:<chain id>): {network!r}")
    return int(reference)


def is_address(text: object) -> bool:
    """Whether this is 0x and 40 hex digits; the checksum's case is not looked at."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


_USDC: Final = (
    (8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),
    (84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC"),
    (1, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin"),
    (137, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin"),
    (80002, "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582", "USDC"),
    (42161, "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin"),
    (421614, "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", "USD Coin"),
    (43114, "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin"),
    (43113, "0x5425890298aed601595a70AB815c96711a31Bc65", "USD Coin"),
    (1329, "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", "USDC"),
    (42220, "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", "USDC"),
    (143, "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", "USDC"),
    (5042, "0x3600000000000000000000000000000000000000", "USDC"),
)

BUILT_IN: Final = tuple(
    Asset(f"eip155:{number}", address, "USDC", name, "2", 6) for number, address, name in _USDC
)

_V1_CHAINS: Final = {
    "base": 8453,
    "base-sepolia": 84532,
    "polygon": 137,
    "polygon-amoy": 80002,
    "avalanche": 43114,
    "avalanche-fuji": 43113,
    "ethereum": 1,
    "sei": 1329,
    "sei-testnet": 1328,
    "abstract": 2741,
    "abstract-testnet": 11124,
    "iotex": 4689,
    "peaq": 3338,
    "celo": 42220,
    "monad": 143,
}

V1_NETWORKS: Final[dict[str, str]] = {
    **{name: f"eip155:{number}" for name, number in _V1_CHAINS.items()},
    "solana": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    "solana-devnet": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
}
"""Version 1's network names. Names on which the SDKs disagree are left out.

An unknown network is refused.
"""


@dataclass(frozen=True, slots=True)
class AssetTable:
    """The tokens that may be paid with: the built-in ones and those that the config adds."""

    assets: tuple[Asset, ...] = BUILT_IN

    def find(self, network: str, address: str) -> Asset | None:
        """The asset at this address, compared without case, or None."""
        wanted = address.lower()
        for asset in self.assets:
            if asset.network == network and asset.address.lower() == wanted:
                return asset
        return None

    def on(self, network: str) -> tuple[Asset, ...]:
        """All assets of one network."""
        return tuple(asset for asset in self.assets if asset.network == network)

    def networks(self) -> frozenset[str]:
        """All networks that have an asset here."""
        return frozenset(asset.network for asset in self.assets)
