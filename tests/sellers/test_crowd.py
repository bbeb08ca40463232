"""Many clients at once against one cap: as many are served as fit under it, and no more."""

import asyncio
import hashlib
from collections import Counter

from tests.rig.chain import Chain
from tests.rig.hostile import PRICE, HostileSeller
from tests.sellers.conftest import Start
from tests.sellers.daemon import Daemon

CLIENTS = ("ann", "bob", "cleo", "dan")
EACH = 50
FIT = 20


def _token(name: str) -> str:
    return f"fbx_{name}_{'0' * 32}"


def _clients(**caps: str) -> list[dict[str, object]]:
    return [
        {"name": name, "token_sha256": hashlib.sha256(_token(name).encode()).hexdigest()}
        | ({"caps": caps} if caps else {})
        for name in CLIENTS
    ]


async def _rush(daemon: Daemon) -> Counter[tuple[str, int, str | None]]:
    """Every client asks fifty times, all at once; who got what."""

    async def ask(name: str, number: int) -> tuple[str, int, str | None]:
        headers = {"Farebox-Token": _token(name)}
        answer = await daemon.ask("GET", f"/shop/deliver?{name}={number}", headers=headers)
        return name, answer.status, answer.error

    asks = (ask(name, number) for number in range(EACH) for name in CLIENTS)
    return Counter(await asyncio.gather(*asks))


async def test_two_hundred_against_a_cap_for_twenty(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """Twenty are paid for, whoever they are; on chain it is twenty times the price to the unit."""
    daemon = await farebox(
        {"shop": hostile_seller.url}, caps={"day": "0.20"}, more={"clients": _clients()}
    )
    told = await _rush(daemon)
    assert sum(n for (_, status, _), n in told.items() if status == 200) == FIT
    assert {(s, e) for _, s, e in told} == {(200, None), (429, "cap_day")}
    assert len(hostile_seller.nonces) == FIT
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * FIT


async def test_each_client_has_a_share(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """With caps of their own as well, nobody takes what is another's."""
    daemon = await farebox(
        {"shop": hostile_seller.url},
        caps={"day": "0.20"},
        more={"clients": _clients(hour="0.05")},
    )
    told = await _rush(daemon)
    served = {name: n for (name, status, _), n in told.items() if status == 200}
    assert served == dict.fromkeys(CLIENTS, 5)
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * FIT


async def test_two_hundred_outstanding(farebox: Start, hostile_seller: HostileSeller) -> None:
    """A seller that never settles holds at most what may be outstanding."""
    daemon = await farebox(
        {"shop": hostile_seller.url}, caps={"outstanding": "0.20"}, more={"clients": _clients()}
    )

    async def ask(number: int) -> int:
        headers = {"Farebox-Token": _token(CLIENTS[number % len(CLIENTS)])}
        answer = await daemon.ask(
            "POST", f"/shop/repeat_402_unsettled?{number}", headers=headers, data=b"x"
        )
        return answer.status

    statuses = Counter(await asyncio.gather(*map(ask, range(200))))
    assert statuses == {402: FIT, 429: 180}
    assert len(hostile_seller.nonces) == FIT
