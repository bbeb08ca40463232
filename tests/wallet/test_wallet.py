"""The wallet: it signs like everybody else, and its key comes out nowhere."""

import copy
import json
import logging
import os
import pickle
import secrets
import stat
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.configfile import ConfigError
from proxy.core.config import KeyRef, SecretRef
from proxy.wallet import Wallet, address_of, load_wallet

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
PASSWORD = "correct horse"
KEYSTORE = json.dumps(Account.encrypt(KEY, PASSWORD, kdf="scrypt", iterations=2)).encode()

DAEMON = """
import pathlib
from proxy.core.config import KeyRef, SecretRef
from proxy.core.x402.challenge import Malformed, challenge_in_body
from proxy.wallet import load_wallet
ref = KeyRef(keystore="store", password=SecretRef(file="password"))
load_wallet(ref, pathlib.Path.cwd())
body = b'{"accepts": ' + b"[" * 1_000_000
assert isinstance(challenge_in_body(body), Malformed)
"""
"""What a daemon does with a keystore, and then with a hostile seller's 402."""

keys = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


def opened(path: str, base: Path) -> Wallet:
    """The wallet of a key file."""
    return load_wallet(KeyRef(file=path), base)


def put(directory: Path, content: bytes, mode: int = 0o600, name: str = "key") -> Path:
    """A file with a mode."""
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refused(ref: KeyRef, base: Path) -> str:
    """The reason for which a wallet is not opened; the key is nowhere in it."""
    with pytest.raises(ConfigError) as caught:
        load_wallet(ref, base)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    told += repr(caught.value) + repr(caught.value.problems)
    assert_no_key(told)
    return str(caught.value)


def assert_no_key(text: str, key: bytes = KEY) -> None:
    """Neither the key nor half of it is in a text, in any writing."""
    halves = (key.hex()[:32], key.hex()[32:], repr(key)[2:20], str(int.from_bytes(key, "big"))[:20])
    assert not [half for half in halves if half.lower() in text.lower()]


class TestSigning:
    """Signatures, held against eth-account."""

    def test_three_hundred_digests(self) -> None:
        """The same signature as eth-account's, of any digest."""
        theirs = PrivateKey(KEY)
        wallet = Wallet(KEY)
        for _ in range(300):
            digest = secrets.token_bytes(32)
            signed = theirs.sign_msg_hash(digest)
            whole = signed.to_bytes()
            assert wallet.sign(digest) == whole[:64] + bytes([whole[64] + 27])

    @settings(deadline=None, max_examples=60)
    @given(key=keys, digest=st.binary(min_size=32, max_size=32))
    def test_any_key(self, key: bytes, digest: bytes) -> None:
        """Any key: eth-account's signature, low s, v of 27 or 28, the same each time."""
        wallet = Wallet(key)
        signature = wallet.sign(digest)
        account = Account.from_key(key)
        assert signature == bytes(account.unsafe_sign_hash(digest).signature)
        assert (len(signature), signature[64] in (27, 28)) == (65, True)
        assert 0 < int.from_bytes(signature[32:64], "big") <= ORDER // 2
        assert wallet.sign(digest) == signature
        assert wallet.address == address_of(key) == account.address

    @pytest.mark.parametrize("size", [0, 31, 33, 64])
    def test_what_is_no_digest(self, size: int) -> None:
        """A digest has 32 bytes: nothing else is signed, and no text is hashed."""
        with pytest.raises(ValueError, match="32"):
            Wallet(KEY).sign(bytes(size))

    @pytest.mark.parametrize("number", [1, 2, ORDER - 1])
    def test_keys_at_the_edge(self, number: int) -> None:
        """The smallest and the largest key there are."""
        key = number.to_bytes(32, "big")
        assert Wallet(key).address == Account.from_key(key).address

    @pytest.mark.parametrize(
        "key",
        [b"", bytes(31), bytes(32), bytes(33), KEY[:31], KEY + b"\0", b"\xff" * 32,
         ORDER.to_bytes(32, "big"), (ORDER + 1).to_bytes(32, "big")],
    )  # fmt: skip
    def test_keys_that_are_none(self, key: bytes) -> None:
        """Zero, the curve's order and beyond, and any other length."""
        with pytest.raises(ValueError, match="not a secp256k1 private key"):
            Wallet(key)


class TestSecrecy:
    """The key comes out nowhere."""

    def test_texts(self, caplog: pytest.LogCaptureFixture) -> None:
        """No repr, no str, no format, no log line."""
        wallet = Wallet(KEY)
        with caplog.at_level(logging.DEBUG):
            logging.getLogger("test").warning("%s %r", wallet, [wallet])
        for text in (repr(wallet), str(wallet), f"{wallet}", f"{[wallet]}", caplog.text):
            assert ADDRESS in text
            assert_no_key(text)

    def test_attributes(self) -> None:
        """What can be looked at does not show it."""
        wallet = Wallet(KEY)
        assert not hasattr(wallet, "__dict__")
        for name in dir(wallet):
            assert_no_key(repr(getattr(wallet, name)))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, protocol: int) -> None:
        """It cannot be stored."""
        with pytest.raises(TypeError, match="not to be copied or stored") as caught:
            pickle.dumps(Wallet(KEY), protocol)
        assert_no_key(str(caught.value))

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
    def test_copy(self, copied: Any) -> None:
        """It cannot be copied."""
        with pytest.raises(TypeError, match="not to be copied"):
            copied(Wallet(KEY))

    def test_traceback(self) -> None:
        """An error in the middle of signing says nothing of the key."""
        wallet = Wallet(KEY)
        try:
            wallet.sign("text")  # type: ignore[arg-type] # wrong on purpose
        except Exception as problem:  # noqa: BLE001 - whatever it is
            assert_no_key("".join(traceback.format_exception(problem)))
        else:
            pytest.fail("text was signed")

    def test_error_of_a_bad_key(self) -> None:
        """A key that is none is not quoted either."""
        with pytest.raises(ValueError, match="not a secp256k1") as caught:
            Wallet(KEY + b"\0")
        assert_no_key("".join(traceback.format_exception(caught.value)))


class TestKeyFile:
    """A key in a file."""

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    @pytest.mark.parametrize("prefix", ["", "0x"])
    @pytest.mark.parametrize("end", ["", "\n", "\r\n", " \n"])
    def test_good(self, tmp_path: Path, mode: int, prefix: str, end: str) -> None:
        """Sixty-four hex digits, with or without 0x, with or without an end of line."""
        path = put(tmp_path, f"{prefix}{KEY.hex()}{end}".encode(), mode)
        assert opened(str(path), tmp_path).address == ADDRESS
        assert opened("key", tmp_path).address == ADDRESS

    def test_upper_case(self, tmp_path: Path) -> None:
        """Digits are digits in any case."""
        put(tmp_path, KEY.hex().upper().encode())
        assert opened("key", tmp_path).address == ADDRESS

    @pytest.mark.parametrize(
        "mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o777, 0o700, 0o500, 0o601, 0o4600]
    )
    def test_mode(self, tmp_path: Path, mode: int) -> None:
        """Any other mode is refused, with what to do about it."""
        put(tmp_path, KEY.hex().encode(), mode)
        assert "chmod 600" in refused(KeyRef(file="key"), tmp_path)

    def test_symlink(self, tmp_path: Path) -> None:
        """A symlink is not followed, were its end in order."""
        put(tmp_path, KEY.hex().encode(), name="real")
        (tmp_path / "key").symlink_to("real")
        assert "symlink" in refused(KeyRef(file="key"), tmp_path)
        (tmp_path / "dangling").symlink_to("nowhere")
        assert "wallet.key.file" in refused(KeyRef(file="dangling"), tmp_path)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_other_owner(self, tmp_path: Path) -> None:
        """A key that belongs to somebody else is not ours."""
        os.chown(put(tmp_path, KEY.hex().encode()), 65_534, 65_534)
        assert "belongs to user 65534" in refused(KeyRef(file="key"), tmp_path)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        """A directory, a pipe, nothing at all: refused at once."""
        (tmp_path / "dir").mkdir()
        os.mkfifo(tmp_path / "pipe", 0o600)
        for name, reason in {
            "dir": "not a regular file",
            "pipe": "not a regular",
            "no": "no such",
        }.items():
            assert reason in refused(KeyRef(file=name), tmp_path)

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"\n", b" ", b"0x", KEY.hex()[:63].encode(), KEY.hex()[:62].encode(),
            KEY.hex().encode() + b"0", KEY.hex().encode() + b"00", b"0X" + KEY.hex().encode(),
            b"0x0x" + KEY.hex().encode(), b"0" * 64, b"f" * 64, f"{ORDER:064x}".encode(),
            b"z" + KEY.hex()[1:].encode(), KEY, KEY.hex().encode() * 2,
            KEY.hex().encode() + b"\n" + KEY.hex().encode(), b"\xef\xbb\xbf" + KEY.hex().encode(),
            KEY.hex().replace("a", "\uff41").encode(), b"x" * 20_000, KEYSTORE,
        ],
    )  # fmt: skip
    def test_content(self, tmp_path: Path, content: bytes) -> None:
        """Empty, short, long, zero, past the order, no hex, two of them: refused unseen."""
        put(tmp_path, content)
        assert refused(KeyRef(file="key"), tmp_path).startswith("wallet.key")

    def test_pasted_key_instead_of_a_path(self, tmp_path: Path) -> None:
        """A key pasted where its file's name belongs is not shown back."""
        refused(KeyRef(file=KEY.hex()), tmp_path)
        refused(KeyRef(file="0x" + KEY.hex()), tmp_path)


class TestKeystore:
    """A key in a keystore of version 3."""

    @staticmethod
    def ref() -> KeyRef:
        """A keystore, and the file of its password."""
        return KeyRef(keystore="store", password=SecretRef(file="password"))

    def test_good(self, tmp_path: Path) -> None:
        """With its password it opens."""
        put(tmp_path, KEYSTORE, name="store")
        put(tmp_path, PASSWORD.encode() + b"\n", name="password")
        assert load_wallet(self.ref(), tmp_path).address == ADDRESS

    def test_wrong_password(self, tmp_path: Path) -> None:
        """With another it does not, and neither is shown."""
        put(tmp_path, KEYSTORE, name="store")
        put(tmp_path, b"wrong horse", name="password")
        told = refused(self.ref(), tmp_path)
        assert "wallet.key.keystore: cannot be decrypted" in told
        assert "horse" not in told

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"{}", b"[]", b"5", b"null", b'"text"', b"\xff", b"{", KEY.hex().encode(),
            KEYSTORE.replace(b'"version": 3', b'"version": 4'),
            KEYSTORE.replace(b'"scrypt"', b'"plain"'),
            KEYSTORE.replace(b'"n": 2', b'"n": 3'),
            KEYSTORE.replace(b'"n": 2', b'"n": "2"'),
            KEYSTORE.replace(b'"n": 2', b'"n": 1152921504606846976'),
            KEYSTORE.replace(b'"mac": "', b'"mac": "00'),
            b'{"crypto": 5, "version": 3}', b'{"crypto": {}, "version": 3}',
            b"[" * 16_000,
        ],
    )  # fmt: skip
    def test_content(self, tmp_path: Path, content: bytes) -> None:
        """Whatever else the file holds, it is a refusal and no crash."""
        put(tmp_path, content, name="store")
        put(tmp_path, PASSWORD.encode(), name="password")
        assert refused(self.ref(), tmp_path).startswith("wallet.key.keystore")

    def test_opening_one_leaves_the_daemon_safe(self, tmp_path: Path) -> None:
        """After a keystore was opened a text of nested brackets still kills nobody.

        A library that is needed for keystores alone lifts the limit that stops such texts.
        """
        put(tmp_path, KEYSTORE, name="store")
        put(tmp_path, PASSWORD.encode(), name="password")
        ran = subprocess.run([sys.executable, "-c", DAEMON], cwd=tmp_path, check=False)
        assert ran.returncode == 0

    def test_modes(self, tmp_path: Path) -> None:
        """Both files must be ours alone."""
        put(tmp_path, KEYSTORE, 0o644, name="store")
        put(tmp_path, PASSWORD.encode(), name="password")
        assert "chmod 600" in refused(self.ref(), tmp_path)
        put(tmp_path, KEYSTORE, name="store")
        put(tmp_path, PASSWORD.encode(), 0o644, name="password")
        assert "wallet.key.password" in refused(self.ref(), tmp_path)


class TestEnvironment:
    """A key in the environment, only where it is asked for."""

    def test_good(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By its name."""
        monkeypatch.setenv("FAREBOX_TEST_KEY", "0x" + KEY.hex())
        assert load_wallet(KeyRef(env="FAREBOX_TEST_KEY"), tmp_path).address == ADDRESS

    @pytest.mark.parametrize(
        "value", [None, "", " ", "0x", KEY.hex()[:-1], "0" * 64, KEY.hex() + "\n" * 2]
    )
    def test_bad(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        """Not set, empty, no key."""
        monkeypatch.delenv("FAREBOX_TEST_KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("FAREBOX_TEST_KEY", value)
        assert refused(KeyRef(env="FAREBOX_TEST_KEY"), tmp_path).startswith("wallet.key")

    @pytest.mark.parametrize("name", ["", "A=B", "A\0B", KEY.hex()])
    def test_names(self, tmp_path: Path, name: str) -> None:
        """A name that is none, or that is the key itself, is not shown."""
        refused(KeyRef(env=name), tmp_path)


class TestCredential:
    """A key that systemd hands over."""

    def test_good(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By its name in $CREDENTIALS_DIRECTORY, whose files are readable as the manager likes."""
        put(tmp_path, KEY.hex().encode(), 0o440, "farebox.key")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        assert load_wallet(KeyRef(credential="farebox.key"), Path("/")).address == ADDRESS

    def test_without_systemd(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the directory there are none."""
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        assert "CREDENTIALS_DIRECTORY" in refused(KeyRef(credential="key"), tmp_path)

    @pytest.mark.parametrize("name", ["../key", "/etc/passwd", "", ".", "..", "a/b", "a\0b"])
    def test_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """A name leads nowhere else."""
        (tmp_path / "dir").mkdir()
        put(tmp_path, KEY.hex().encode())
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "dir"))
        assert "no name of a credential" in refused(KeyRef(credential=name), tmp_path)

    def test_others_may_write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that others could have changed is refused."""
        put(tmp_path, KEY.hex().encode(), stat.S_IRUSR | stat.S_IWOTH)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        assert "others can write" in refused(KeyRef(credential="key"), tmp_path)
