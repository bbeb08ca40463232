"""`farebox wallet`."""

from pathlib import Path

from eth_account import Account

from tests.cli.house import ADDRESS, KEY, House, farebox


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
    for verb in ("wallet", "status", "payments", "pause", "resume"):
        said = farebox(verb, config=tmp_path / "none.yaml", home=tmp_path)

        assert said.code == 2, verb
        assert "none.yaml" in said.err
