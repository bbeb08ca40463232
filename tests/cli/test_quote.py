"""`farebox quote`: what a call would cost, asked of the real daemon on the sandbox."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

from proxy.app import running
from proxy.store import views
from tests.cli.house import House, Said

VIDEOS = "/v1/videos/generations"
CLIP = {"prompt": "a fare box"}
OTHERS = (
    "  sunra: {kind: sunra, base_url: 'http://127.0.0.1:9', auth: {bearer: {env: CANARY}},"
    " default_video_model: 'bytedance/seedance-2.0/text-to-video',"
    " prices: [{model: 'bytedance/*', usd_per_second: '0.20', default_seconds: 5}]}\n"
    "  shop: {kind: http, base_url: 'http://127.0.0.1:9', pay: {}}\n"
)
TOKEN = "fbx_0123456789abcdef"
CLIENTS = f"clients: [{{name: me, token_sha256: '{hashlib.sha256(TOKEN.encode()).hexdigest()}'}}]\n"


@pytest.fixture
def fair(house: House) -> House:
    """A config with three makers of videos, one of which has no prices, and a shop."""
    house.edit("{env: CANARY}}}\n", "{env: CANARY}}}\n" + OTHERS)
    house.edit(
        "pay: {}}\n  pomex:", "pay: {}, default_video_model: bytedance/seedance-2.0-fast}\n  pomex:"
    )
    house.edit("{kind: pomex,", "{kind: pomex, default_video_model: byteplus/seedance-2.0,")
    return house


async def ask(house: House, *words: str, body: dict[str, Any] | None = None, **more: str) -> Said:
    """Ask for a quote, beside the daemon."""
    if body is not None:
        file = house.directory / "body.json"
        file.write_text(json.dumps(body))
        words = (*words, "--body", str(file))
    return await asyncio.to_thread(house.run, "quote", *words, **more)


def rows(said: Said) -> list[str]:
    """The lines below the header, with single spaces."""
    return [" ".join(line.split()) for line in said.out.splitlines()[1:]]


async def test_providers_side_by_side(fair: House) -> None:
    """Each maker of videos is asked and the shop is not; what is not counted has no price."""
    async with fair.daemon():
        said = await ask(fair, "POST", VIDEOS, "--text", body=CLIP)

    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["PROVIDER", "PRICE", "SOURCE", "VERDICT"]
    assert rows(said) == [
        "blockrun $0.45 quoted allowed",
        "pomex ? free allowed: it has no prices in the config, and is not counted",
        "sunra $1.00 table allowed",
    ]


async def test_quote_for_programs(fair: House) -> None:
    """The list holds the daemon's own answers, and nothing was signed for them."""
    async with fair.daemon():
        found = (await ask(fair, "post", f"/api{VIDEOS}?a=b", body=CLIP)).json()

    assert [offer["provider"] for offer in found] == ["blockrun", "pomex", "sunra"]
    assert found[0]["price"] == {
        "source": "quoted",
        "usd": "0.45",
        "amount": "450000",
        "asset": "USDC",
        "network": "eip155:8453",
    }
    assert all(offer["dry_run"] and offer["caps"] for offer in found)
    with fair.opened() as db:
        assert views.payments(db) == {"payments": []}


async def test_providers_that_cannot_serve(fair: House) -> None:
    """Another's model, or a field that one cannot express, is said, and keeps no other out."""
    body = CLIP | {"model": "bytedance/seedance-2.0/text-to-video", "duration_seconds": 5}
    async with fair.daemon():
        some = await ask(fair, "POST", VIDEOS, "--text", body=body)
        none = await ask(fair, "POST", VIDEOS, "--provider", "pomex", body=CLIP | {"seed": 7})

    assert (some.code, none.code) == (0, 1)
    assert rows(some)[0].startswith("blockrun cannot serve: route_conflict: ")
    assert rows(some)[2] == "sunra $1.00 table allowed"
    (offer,) = none.json()
    assert (offer["provider"], offer["allowed"]) == ("pomex", False)
    assert offer["code"] == "field_not_supported"


async def test_cap_in_the_way(fair: House) -> None:
    """Where caps are what stands in the way the exit code says so, unless another one may serve."""
    fair.edit('per_request: "1.00"', 'per_request: "0.10"')
    async with fair.daemon():
        both = await ask(
            fair,
            "POST",
            VIDEOS,
            "--provider",
            "blockrun",
            "--provider",
            "sunra",
            "--text",
            body=CLIP,
        )
        all_ = await ask(fair, "POST", VIDEOS, body=CLIP)

    assert (both.code, all_.code) == (3, 0)
    assert rows(both)[0].startswith("blockrun $0.45 quoted refused: cap_per_request: ")
    assert rows(both)[1].startswith("sunra $1.00 table refused: cap_per_request: ")


async def test_named_providers(fair: House) -> None:
    """Only those are asked, each once; one that there is not is no reason to stop."""
    names = ("--provider", "nobody", "--provider", "sunra", "--provider", "sunra")
    async with fair.daemon():
        found = (await ask(fair, "POST", VIDEOS, *names, body=CLIP)).json()

    assert [(o["provider"], o["allowed"]) for o in found] == [("nobody", False), ("sunra", True)]
    assert found[0]["code"] == "provider_unknown"


async def test_call_that_one_provider_serves(fair: House) -> None:
    """The route decides, and a price that nobody asked for is not taken for a promise."""
    async with fair.daemon():
        free = await ask(fair, "GET", "/v1/models", "--text")
        own = await ask(fair, "GET", "/-/status")
        lost = await ask(fair, "GET", "/elsewhere")

    assert rows(free)[0].startswith("blockrun $0.00 free allowed: it asks for no payment, or")
    assert (own.code, lost.code) == (1, 1)
    assert "answers this itself" in own.json()[0]["message"]
    assert lost.json()[0]["code"] == "no_route"


async def test_clients_are_configured(fair: House) -> None:
    """A token is needed then; it is read from the environment too, and shown to nobody else."""
    with fair.config.open("a") as config:
        config.write(CLIENTS)
    call = ("POST", VIDEOS, "--provider", "blockrun")
    async with fair.daemon():
        without = await ask(fair, *call, body=CLIP)
        with_it = await ask(fair, *call, body=CLIP, FAREBOX_TOKEN=TOKEN)
        broken = await ask(fair, *call, "--token", "fbx_\n", body=CLIP)

    assert (without.code, without.out) == (1, "")
    assert "--token" in without.err
    assert with_it.code == 0
    assert (broken.code, "fbx_" in broken.err) == (2, False)


async def test_token_that_nobody_needs(fair: House) -> None:
    """Without clients no token is shown: an unknown one would be refused."""
    async with fair.daemon():
        said = await ask(fair, "POST", VIDEOS, body=CLIP, FAREBOX_TOKEN=TOKEN)

    assert said.code == 0


async def test_daemon_on_a_unix_socket(house: House) -> None:
    """It is asked where the config has it listen."""
    house.edit(f"127.0.0.1:{house.port}", f"unix:{house.directory}/door")
    house.edit("{env: CANARY}", "{file: wallet.key}")
    async with running(house.config):
        found = (await ask(house, "POST", "/v1/video/generations", body=CLIP)).json()

    assert (found[0]["provider"], found[0]["allowed"]) == ("pomex", True)


def test_no_daemon(house: House) -> None:
    """Only a running daemon knows: without one it is exit code 1, and said."""
    said = house.call("quote", "POST", VIDEOS)

    assert (said.code, said.out) == (1, "")
    assert "`farebox serve` starts it" in said.err


async def test_wrong_usage(house: House) -> None:
    """A path without a slash or with a space, and a body past the limit, are exit code 2."""
    house.edit("{drain_s: 1}", "{drain_s: 1, body_bytes_max: 1024}")
    async with house.daemon():
        relative = await ask(house, "POST", "v1/chat")
        spaced = await ask(house, "GET", "/v1/a b")
        large = await ask(house, "POST", VIDEOS, body={"prompt": "x" * 1024})

    assert [said.code for said in (relative, spaced, large)] == [2, 2, 2]
    assert "body_bytes_max, 1024" in large.err
