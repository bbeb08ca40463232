"""The rig's fixtures; the chain, the facilitator and the official sellers live for a whole session.

Registered as a plugin by `tests/conftest.py`. Anything that starts does so on first use.
"""

import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.rig.chain import Chain, running_chain
from tests.rig.goods import PRICES_USD
from tests.rig.hostile import HostileSeller, running_hostile_seller
from tests.rig.process import python_service, service

EXPRESS = Path(__file__).with_name("express")


@dataclass(frozen=True)
class Facilitator:
    """The official facilitator's service."""

    url: str

    def tally(self) -> dict[str, int]:
        """Count what it verified, refused, settled and failed to settle since it started."""
        tally: dict[str, int] = _get(f"{self.url}/tally")
        return tally


@dataclass(frozen=True)
class Seller:
    """One official seller; several tests use it at once, so ask for what one payer did."""

    url: str
    version: int
    pay_to: str

    def price(self, route: str) -> int:
        """Look up a route's price (`"GET /paid"`) in the token's smallest unit."""
        return round(float(PRICES_USD[route]) * 10**6)

    def seen(self) -> list[dict[str, Any]]:
        """List every request: method, path, header names, and the payment's from and nonce."""
        seen: list[dict[str, Any]] = _get(f"{self.url}/-/seen")
        return seen

    def payments_by(self, payer: str) -> list[dict[str, Any]]:
        """List the requests that carried a payment of this payer."""
        return [request for request in self.seen() if request["from"] == payer]


@pytest.fixture(scope="session")
def rig_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the rig's children a directory for what they complain about."""
    return tmp_path_factory.mktemp("rig")


@pytest.fixture(scope="session")
def chain(rig_logs: Path) -> Iterator[Chain]:
    """Run a private Base Sepolia with the real USDC contract."""
    with running_chain(rig_logs / "anvil.log") as chain:
        yield chain


@pytest.fixture(scope="session")
def facilitator(chain: Chain, rig_logs: Path) -> Iterator[Facilitator]:
    """Run the official facilitator over the chain."""
    account = Account.create()
    chain.fund_gas(account.address)
    log = rig_logs / "facilitator.log"
    module = "tests.rig.facilitator"
    with python_service(module, chain.rpc_url, "0x" + account.key.hex(), log=log) as url:
        yield Facilitator(url)


@pytest.fixture(scope="session")
def fastapi_seller(facilitator: Facilitator, rig_logs: Path) -> Iterator[Seller]:
    """Run the official FastAPI seller, version 2."""
    pay_to = Account.create().address
    log = rig_logs / "fastapi_seller.log"
    with python_service("tests.rig.fastapi_seller", facilitator.url, pay_to, log=log) as url:
        yield Seller(url, 2, pay_to)


@pytest.fixture(scope="session")
def v1_seller(facilitator: Facilitator, rig_logs: Path) -> Iterator[Seller]:
    """Run the Python seller that speaks version 1 through the official facilitator."""
    pay_to = Account.create().address
    log = rig_logs / "v1_seller.log"
    with python_service("tests.rig.v1_seller", facilitator.url, pay_to, log=log) as url:
        yield Seller(url, 1, pay_to)


@pytest.fixture(scope="session")
def express_v1_seller(facilitator: Facilitator, rig_logs: Path) -> Iterator[Seller]:
    """Run the official Express seller, version 1 (slow tests)."""
    yield from _express(1, facilitator, rig_logs)


@pytest.fixture(scope="session")
def express_v2_seller(facilitator: Facilitator, rig_logs: Path) -> Iterator[Seller]:
    """Run the official Express seller, version 2 (slow tests)."""
    yield from _express(2, facilitator, rig_logs)


@pytest.fixture
async def hostile_seller(chain: Chain, facilitator: Facilitator) -> AsyncIterator[HostileSeller]:
    """Run a lying seller of one's own, for one test."""
    async with running_hostile_seller(chain, facilitator.url) as seller:
        yield seller


def _express(version: int, facilitator: Facilitator, logs: Path) -> Iterator[Seller]:
    pay_to = Account.create().address
    program = EXPRESS / f"v{version}.js"
    command = ["node", program, facilitator.url, pay_to]
    with service(command, logs / f"express_v{version}.log") as url:
        yield Seller(url, version, pay_to)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # our own loopback
        return json.load(response)
