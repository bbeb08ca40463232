"""`farebox doctor`: what it finds, and that it changes nothing."""

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.cli import checkup, ledger_checkup, online_checkup
from proxy.cli.hello import Running
from proxy.clocks import machine_clocks
from proxy.configfile import read_config
from proxy.core.clock import Anchor
from proxy.core.ledger import Evidence
from proxy.store import ForeignUse, onchain, payees
from proxy.store.alerts import CODES
from proxy.store.timekeeping import write_anchor
from tests.cli.house import ADDRESS, API_KEY, Entry, House, Said

BASE = "eip155:8453"
CLOCKS = machine_clocks()


def found(said: Said, check: str) -> list[tuple[str, str]]:
    """The verdicts of one check, with their sentences."""
    return [(f["verdict"], f["message"]) for f in said.json()["checks"] if f["check"] == check]


def fingerprints(directory: Path) -> dict[str, str]:
    """All files of a directory, but for those that SQLite keeps while it reads."""
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.rglob("*")
        if file.is_file() and not file.name.endswith(("-wal", "-shm"))
    }


@pytest.fixture
def healthy(house: House) -> House:
    """A config and a ledger with nothing to complain about."""
    house.edit("{env: CANARY}}}", "{env: CANARY}}, prices: []}")
    with house.config.open("a") as config:
        config.write(f"networks: {{'{BASE}': {{rpc_url: 'http://127.0.0.1:9/{API_KEY}'}}}}\n")
    house.state_dir.mkdir(mode=0o700)
    house.enter(
        Entry("pay_1", "0.50", Evidence.RECEIPT, age_s=3600),
        Entry("pay_2", "0.25", Evidence.RECEIPT, age_s=30),
        Entry("pay_3", "0.10", Evidence.NEVER_SENT, age_s=20),
    )
    return house


def test_all_is_well(healthy: House) -> None:
    """Nothing to complain about is exit code 0 and `ok` for each check, and no file has changed."""
    before = fingerprints(healthy.directory)

    said = healthy.run("doctor")

    assert said.code == 0
    assert said.json()["ok"]
    assert {f["verdict"] for f in said.json()["checks"]} == {"ok"}
    assert [f["check"] for f in said.json()["checks"]] == [
        "signing", "config", "wallet", "files", "state_dir", "disk", "daemon", "ledger", "sums",
        "clock", "alerts", "caps", "chain",
    ]  # fmt: skip
    assert ADDRESS in found(said, "wallet")[0][1]
    assert fingerprints(healthy.directory) == before


def test_before_the_first_start(house: House) -> None:
    """Without a ledger there is nothing to complain about in it, and none is made."""
    said = house.call("doctor", "--text")

    assert said.code == 0
    assert "ok    ledger" in said.out
    assert "warn  chain" in said.out
    assert "nobody notices a stolen key" in said.out
    assert "-> set networks.eip155:8453.rpc_url" in said.out
    assert "warn  prices" in said.out
    assert said.out.endswith("0 failed, 2 to look at, 9 fine.\n")
    assert not house.state_dir.exists()


def test_config_that_cannot_be_used(house: House) -> None:
    """Every problem of the config is found, and what needs no config is looked at all the same."""
    house.config.write_text("caps: {per_request: 1}\nx: 1\n")

    said = house.call("doctor")

    assert said.code == 1
    assert not said.json()["ok"]
    assert len(found(said, "config")) > 2
    assert {verdict for verdict, _ in found(said, "config")} == {"fail"}
    assert found(said, "signing")[0][0] == "ok"


def test_keys_that_others_can_read(house: House) -> None:
    """A loose key file, and a provider's key that is not there, are failures."""
    (house.directory / "wallet.key").chmod(0o644)
    house.edit("{env: CANARY}", "{file: api.key}")

    said = house.call("doctor")

    assert said.code == 1
    assert "chmod 600" in found(said, "wallet")[0][1]
    assert [verdict for verdict, _ in found(said, "files")] == ["fail"]
    assert "no such file" in found(said, "files")[0][1]


@pytest.mark.parametrize(("mode", "verdict"), [(0o755, "warn"), (0o777, "fail")])
def test_state_directory_of_others(healthy: House, mode: int, verdict: str) -> None:
    """Others should not look into the state directory, and must not write there."""
    healthy.state_dir.chmod(mode)

    assert found(healthy.call("doctor"), "state_dir")[0][0] == verdict


def test_state_directory_that_is_none(house: House) -> None:
    """A file in its place is a failure."""
    house.state_dir.write_text("")

    assert found(house.call("doctor"), "state_dir")[0][0] == "fail"


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("UPDATE balance SET held = held + 1 WHERE scope = 'all'", "all: held is 0.250001"),
        ("UPDATE balance SET outstanding = 7", "all: outstanding is 0.000007"),
        ("DELETE FROM balance", "all: held is 0.00"),
        ("UPDATE taken SET running = running - 1, usd = usd - 1", "all: taken is 0.499999"),
        ("UPDATE taken SET usd = usd - 1", "all: the list of what was taken is wrong from row 1"),
        ("UPDATE hold SET state = 'unknown' WHERE payment = 'pay_2'", "all: outstanding is 0.00"),
    ],
)
def test_sums_that_are_wrong(healthy: House, statement: str, part: str) -> None:
    """What counts against the caps is added up anew from the holds, and a cent too few is found."""
    with healthy.opened() as db:
        db.execute(statement)

    said = healthy.call("doctor")

    assert said.code == 1
    assert {verdict for verdict, _ in found(said, "sums")} == {"fail"}
    assert any(part in message for _, message in found(said, "sums"))


def test_ledger_that_is_damaged(healthy: House) -> None:
    """Bytes that are not SQLite's own are a failure and no traceback."""
    data = bytearray(healthy.ledger.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at : at + 64] = b"\xff" * 64
    healthy.ledger.write_bytes(data)

    said = healthy.call("doctor")

    assert said.code == 1
    assert found(said, "ledger")[0][0] == "fail"


def test_ledger_of_a_newer_release(healthy: House) -> None:
    """It is not guessed at."""
    with healthy.opened() as db:
        db.execute("PRAGMA user_version = 99")

    said = healthy.call("doctor")

    assert said.code == 1
    assert "version 99" in found(said, "ledger")[0][1]


@pytest.mark.skipif(not CLOCKS.boot_id, reason="the system hides which boot this is")
@pytest.mark.parametrize(
    ("seconds", "ahead_s", "verdict", "part"),
    [
        (1000, 0, "fail", "jumped 1000 s ahead"),
        (-1000, 0, "fail", "jumped 1000 s back"),
        (0, 1000, "warn", "behind"),
        (10, 0, "ok", "has not jumped"),
    ],
)
def test_clock(healthy: House, seconds: int, ahead_s: int, verdict: str, part: str) -> None:
    """A clock that jumped since a daemon looked at it, or lags the ledger, is found."""
    with healthy.opened() as db:
        wall, uptime = CLOCKS.wall(), CLOCKS.uptime()
        write_anchor(db, Anchor(CLOCKS.boot_id, uptime, wall - seconds, wall + ahead_s))

    ((said, message),) = found(healthy.call("doctor"), "clock")

    assert said == verdict
    assert part in message


def test_what_waits_for_a_person(healthy: House) -> None:
    """A stolen key is a failure; a pause, unknown payments and payees that wait are not."""
    healthy.enter(Entry("pay_4", "0.05", Evidence.NO_RECEIPT, age_s=20))
    use = ForeignUse(ADDRESS, BASE, "0x00", b"n" * 32, "0xfeed")
    with healthy.opened() as db:
        onchain.freeze(db, [use], 1_700_000_000)
        payees.accept(db, "blockrun", BASE, "0xa", 1)
        payees.check(db, "blockrun", BASE, "0xb", 1)
    healthy.call("pause")
    (healthy.state_dir / "PAUSE").touch()
    with healthy.config.open("a") as config:
        config.write("paused: true\n")

    said = healthy.call("doctor")

    assert said.code == 1
    assert [verdict for verdict, _ in found(said, "paused")] == ["warn"] * 3
    assert found(said, "wallet_frozen")[0][0] == "fail"
    assert "0.05 USD counts" in found(said, "payment_unknown")[0][1]
    assert "0xb" in found(said, "payee_waiting")[0][1]
    assert all(f["todo"] for f in said.json()["checks"] if f["verdict"] != "ok")


def test_caps_that_are_none(healthy: House) -> None:
    """No limit is allowed, and not fine."""
    healthy.edit('per_request: "1.00", day: "5.00"', "per_request: none, day: none")

    assert [verdict for verdict, _ in found(healthy.call("doctor"), "caps")] == ["warn", "warn"]


def test_stranger_at_the_door(healthy: House) -> None:
    """Another program where the config listens is a failure."""
    with socket.create_server(("127.0.0.1", healthy.port)):
        said = healthy.call("doctor")

    assert said.code == 1
    assert f"127.0.0.1:{healthy.port}" in found(said, "daemon")[0][1]


async def test_beside_a_running_daemon(healthy: House) -> None:
    """A daemon that runs is found, and keeps on serving."""
    async with healthy.daemon() as daemon:
        bought = await daemon.buy()
        said = await asyncio.to_thread(healthy.run, "doctor")
        again = await daemon.buy()

    assert (bought, again) == ((200, ""), (200, ""))
    assert said.code == 0, said.out
    assert "running at http://127.0.0.1" in found(said, "daemon")[0][1]
    assert found(said, "sums")[0][0] == "ok"


def test_secrets_that_only_the_daemon_has(house: House) -> None:
    """Its word counts for a credential; for what this shell's environment lacks it is a warning."""
    house.edit("{file: wallet.key}", "{credential: key}")
    house.edit("{env: CANARY}", "{env: NOT_HERE}")
    loaded = read_config(house.config)
    runs = Running(running=True, address="http://x", version="1")

    assert [f.verdict for f in checkup.wallet(loaded, ADDRESS)] == ["ok"]
    assert [f.verdict for f in checkup.wallet(loaded, None)] == ["fail"]
    assert [f.verdict for f in checkup.files(loaded, runs)] == ["warn"]
    assert [f.verdict for f in checkup.files(loaded, Running(running=False))] == ["fail"]


def test_key_that_was_changed_under_the_daemon(house: House) -> None:
    """A daemon that pays from another wallet than the file's is told of."""
    (finding,) = checkup.wallet(read_config(house.config), "0xother")

    assert finding.verdict == "warn"
    assert ADDRESS in finding.message


def test_disk_that_is_full(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room for the ledger is a failure, too little for a body too a warning."""
    loaded = read_config(house.config)
    edge = checkup.LEDGER_BYTES_MIN
    for verdict, free in (("warn", edge), ("fail", edge - 1)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert [f.verdict for f in checkup.state_dir(loaded)] == ["ok", verdict]


# Online.


@contextmanager
def node(answer: str | None, status: int = 200) -> Iterator[str]:
    """A node that always says the same, or nothing; its URL holds a key."""
    asked = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert json.loads(self.rfile.read(int(self.headers["Content-Length"]))) == {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "eth_chainId",
                "params": [],
            }
            if answer is None:
                asked.wait(30)
                return
            self.send_response(status)
            self.send_header("Location", f"http://127.0.0.1:9/{API_KEY}")
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v2/{API_KEY}?key={API_KEY}"
        finally:
            asked.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "status", "verdict", "part"),
    [
        ('{"jsonrpc": "2.0", "id": 1, "result": "0x2105"}', 200, "ok", "answers for its chain"),
        ('{"jsonrpc": "2.0", "id": 1, "result": "0x1"}', 200, "warn", "a node of eip155:1,"),
        (f'{{"error": "{API_KEY}"}}', 200, "warn", "does not say which chain"),
        ("[]", 200, "warn", "does not say which chain"),
        (API_KEY, 200, "warn", "cannot be asked (JSONDecodeError)"),
        (API_KEY, 401, "warn", "HTTP status 401"),
        (API_KEY, 302, "warn", "HTTP status 302"),
    ],
)
def test_online(healthy: House, answer: str, status: int, verdict: str, part: str) -> None:
    """Each node is asked for its chain; neither its URL's key nor its own words come out."""
    with node(answer, status) as url:
        healthy.edit(f"http://127.0.0.1:9/{API_KEY}", url)
        said = healthy.call("doctor", "--online")

    ((judged, message),) = found(said, "online")
    assert (said.code, judged) == (0, verdict)
    assert part in message
    assert f"networks.{BASE}.rpc_url (127.0.0.1:" in message


def test_online_where_nobody_is(healthy: House) -> None:
    """Without a network it is a warning, and offline nobody is asked at all."""
    assert found(healthy.call("doctor", "--online"), "online")[0][0] == "warn"
    assert found(healthy.call("doctor"), "online") == []


@pytest.mark.parametrize("clock", ["thread", "socket"])
def test_online_with_a_node_that_says_nothing(
    clock: str, healthy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that keeps one waiting is given up on, in the same words by either clock."""
    monkeypatch.setattr(online_checkup, "DEADLINE_S", 0.1)
    if clock == "socket":
        join = threading.Thread.join
        monkeypatch.setattr(threading.Thread, "join", lambda thread, _=None: join(thread))
    with node(None) as url:
        healthy.edit(f"http://127.0.0.1:9/{API_KEY}", url)
        findings = list(online_checkup.online(read_config(healthy.config).config))

    assert [f.verdict for f in findings] == ["warn"]
    assert "no answer within 0.1 s" in findings[0].message


def test_every_alert_has_a_remedy() -> None:
    """What waits for a person is never told without what to do."""
    assert tuple(ledger_checkup.REMEDIES) == CODES
    assert all(ledger_checkup.REMEDIES.values())
