"""The sandbox as a library: where it listens, what it writes down, what it costs to import."""

import subprocess
import sys

import aiohttp
import pytest

from proxy.sandbox import Sandbox, SandboxOptions, sandbox
from proxy.sandbox.money import dollars, units
from proxy.sandbox.seen import KEPT_MAX, Seen
from tests.sandbox.buyer import PORTRAIT, Buyer, Clock


async def test_three_providers_on_ports_of_their_own(session: aiohttp.ClientSession) -> None:
    """Each answers at its URL while the context is open, and nobody does after it."""
    async with sandbox(SandboxOptions()) as town:
        urls = {town.blockrun_url, town.sunra_url, town.pomex_url}
        assert len(urls) == 3
        assert repr(town) == f"<Sandbox {town.blockrun_url} {town.sunra_url} {town.pomex_url}>"
        for url in urls:
            async with session.get(f"{url}/v1/nothing") as response:
                assert response.status in {401, 404}
    for url in urls:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/v1/nothing")


async def test_a_chosen_port() -> None:
    """A port can be chosen; one that is taken is an error that leaves nothing running."""
    async with Sandbox() as first:
        port = int(first.pomex_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await Sandbox(SandboxOptions(pomex_port=port)).__aenter__()
    async with Sandbox(SandboxOptions(pomex_port=port)) as second:
        assert second.pomex_url == first.pomex_url


async def test_ipv6() -> None:
    """Loopback's other family works, and its URLs are written with brackets."""
    async with Sandbox(SandboxOptions(host="::1")) as town, aiohttp.ClientSession() as session:
        assert town.blockrun_url.startswith("http://[::1]:")
        async with session.get(f"{town.blockrun_url}/v1/models") as response:
            assert response.status == 200


async def test_requests_are_written_down(buyer: Buyer) -> None:
    """Everything is kept as it came: provider, method, raw target, headers, body, status."""
    url = f"{buyer.town.pomex_url}/v1/video/assets%2Fx?a=%20b"
    await buyer.call("PUT", url, b"bytes", {"X-Odd": "caf\xe9"})
    (seen,) = buyer.town.requests
    assert (seen.provider, seen.method) == ("pomex", "PUT")
    assert seen.path == "/v1/video/assets%2Fx?a=%20b"
    assert seen.body == b"bytes"
    assert seen.status == 401
    assert ("X-Odd", "caf\xc3\xa9") in seen.headers
    assert seen.header("x-ODD") == "caf\xc3\xa9"
    assert seen.header("x-other") is None


async def test_requests_are_forgotten_in_the_end(buyer: Buyer) -> None:
    """A sandbox that runs for days keeps the latest requests only."""
    old = Seen("blockrun", "GET", "/", [])
    buyer.town.requests.extend([old] * KEPT_MAX)
    await buyer.call("GET", "/v1/models")
    assert len(buyer.town.requests) == KEPT_MAX
    assert buyer.town.requests[-1] is not old


async def test_options(session: aiohttp.ClientSession, clock: Clock) -> None:
    """The key and the starting balance are the options' to say."""
    options = SandboxOptions(api_key="sk-mine", balance=499_999)
    async with Sandbox(options, clock) as town:
        buyer = Buyer(session, town, clock)
        headers = {"Authorization": "Bearer sk-mine"}
        url = f"{town.pomex_url}/v1/video/assets"
        assert (await buyer.call("GET", url, None, headers)).status == 200
        answer = await buyer.pay("POST", "/v1/portrait/enroll", PORTRAIT)
        assert answer.json["details"] == "invalid_exact_evm_insufficient_balance"


@pytest.mark.parametrize("wrong", [{"job_s": -1.0}, {"balance": -1}, {"api_key": ""}])
def test_options_that_cannot_be(wrong: dict[str, object]) -> None:
    """Options are checked when they are built."""
    with pytest.raises(ValueError, match=r"api_key is not|at least 0"):
        SandboxOptions(**wrong)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("usd", "amount"), [("0.5", 500_000), ("1", 1_000_000), ("0.0000001", 1), ("0", 0)]
)
def test_money(usd: str, amount: int) -> None:
    """Dollars are read exactly, fractions of the smallest unit rounded up."""
    assert units(usd) == amount
    assert units(dollars(amount)) == amount


def test_import_is_cheap() -> None:
    """Importing the package loads neither eth_account nor any of the daemon's rooms."""
    code = """
import sys, proxy.sandbox
rooms = ("core", "wallet", "store", "exchange", "gate", "providers", "upstream", "app", "jobs")
loaded = [name for name in sys.modules if name.startswith(tuple(f"proxy.{r}" for r in rooms))]
sys.exit(", ".join(loaded) or ("eth_account" in sys.modules and "eth_account") or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
