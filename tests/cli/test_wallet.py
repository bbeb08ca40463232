"""`farebox wallet`."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
from eth_account import Account

from proxy.store import ForeignUse, onchain
from tests.cli.house import ADDRESS, KEY, House, clean_environment, command, farebox
from tests.rig.process import ROOT

USE = ForeignUse(ADDRESS, "eip155:8453", f"0x{'a' * 40}", b"n" * 32, f"0x{'fe' * 32}")


def test_address_is_that_of_the_key(house: House) -> None:
    """The checksummed address is printed, as another library derives it, and never the key."""
    said = house.run("wallet", "address", "--text")

    assert (said.code, said.out.strip()) == (0, Account.from_key(KEY).address)
    assert said.out.strip() == ADDRESS


def test_address_is_what_wallet_means(house: House) -> None:
    """Without a sub-command, and for programs, it is the same."""
    assert house.run("wallet").json() == {"address": ADDRESS}


def test_config_without_a_wallet(house: House) -> None:
    """A config that never pays has no address: exit code 2, and what to do."""
    house.config.write_text(
        'caps: {per_request: none, day: none}\nproviders: {x: {kind: http, base_url: "https://x"}}'
    )

    said = house.run("wallet")

    assert said.code == 2
    assert "farebox init" in said.err


def test_key_that_others_can_read(house: House) -> None:
    """A key file that is not private is refused with exit code 2."""
    (house.directory / "wallet.key").chmod(0o644)

    said = house.run("wallet")

    assert said.code == 2
    assert "chmod 600" in said.err


def test_no_config_at_all(tmp_path: Path) -> None:
    """Every verb ends with 2 where there is no config, and names the file it looked for."""
    for verb in ("wallet", "status", "payments", "payees", "pause", "resume"):
        said = farebox(verb, config=tmp_path / "none.yaml", home=tmp_path)

        assert said.code == 2, verb
        assert "none.yaml" in said.err


@pytest.fixture
def frozen(house: House) -> House:
    """A wallet that somebody else has used."""
    with house.opened() as db:
        onchain.freeze(db, [USE], 1_700_000_000)
    return house


def test_nothing_to_unfreeze(house: House) -> None:
    """Where nobody used the key there is nothing to ask, and no ledger is made."""
    assert house.call("wallet", "unfreeze").json() == {"unfrozen": 0, "foreign_uses": []}
    assert not house.state_dir.exists()


def test_unfreeze_without_a_terminal(frozen: House) -> None:
    """Nobody can be asked: it takes `--yes`, and says what was accepted."""
    refused = frozen.call("wallet", "unfreeze")
    said = frozen.call("wallet", "unfreeze", "--yes").json()

    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    assert said["unfrozen"] == 1
    assert said["foreign_uses"] == [
        {
            "wallet": ADDRESS.lower(),
            "network": USE.network,
            "asset": USE.asset,
            "nonce": "0x" + "6e" * 32,
            "tx": USE.tx,
            "seen_at": 1_700_000_000,
        }
    ]
    assert frozen.call("status").json()["alerts"] == []
    assert frozen.call("wallet", "unfreeze").json()["unfrozen"] == 0


@pytest.mark.parametrize(("answer", "code", "alerts"), [("n", 1, 1), ("y", 0, 0)])
def test_unfreeze_at_a_terminal(frozen: House, answer: str, code: int, alerts: int) -> None:
    """The uses are shown, with what they mean, before anybody is asked."""
    said, shown = _at_a_terminal(frozen, answer, "wallet", "unfreeze")

    assert said == code, shown
    assert shown.index(USE.tx) < shown.index("Somebody else has the key") < shown.index("[y/N]")
    assert len(frozen.call("status").json()["alerts"]) == alerts


def test_frozen_is_said_elsewhere(frozen: House) -> None:
    """`status` says that nothing is paid, and `resume` that it is not the switch alone."""
    assert frozen.call("status").json()["wallet_frozen"]
    assert "NO, the wallet is frozen" in frozen.call("status", "--text").out
    assert USE.tx in frozen.call("resume").json()["warnings"][0]

    with frozen.opened() as db:
        db.execute("UPDATE foreign_use SET wallet = '0xold'")
    assert not frozen.call("status").json()["wallet_frozen"]


def test_help_says_what_frozen_means(house: House) -> None:
    """Whoever looks for a way out is told to move the money."""
    words = " ".join(house.call("wallet", "--help").out.split())

    assert "somebody else has the key" in words
    assert "Move the money" in words


async def test_a_running_daemon_pays_again(frozen: House) -> None:
    """A frozen wallet signs nothing; once its uses are accepted it does."""
    async with frozen.daemon() as daemon:
        refused = await daemon.buy()
        frozen.run("wallet", "unfreeze", "--yes")
        accepted = await daemon.buy()

    assert (refused, accepted) == ((503, "wallet_frozen"), (200, ""))


def _at_a_terminal(house: House, answer: str, *words: str) -> tuple[int, str]:
    """Run a command at a terminal of its own, with one answer typed ahead."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            command(*words, config=house.config),
            cwd=ROOT,
            env=clean_environment(house.directory),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    return done.returncode, done.stdout
