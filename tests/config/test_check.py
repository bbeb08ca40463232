"""`farebox check`, run as a process: verdicts, exit codes, explanations, and no secret shown."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.cli.advice import advice
from proxy.configfile import parse_config
from proxy.store import Memory, portraits, sessions
from proxy.store.memory import remember
from proxy.store.portraits import Portrait
from proxy.store.schema import FILE_NAME, connect, migrate
from proxy.store.sessions import Session
from tests.config.conftest import KEY, MINIMAL, Run, Write

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
WALLET = 'wallet: {key: {file: "wallet.key"}}\n'
PAID = MINIMAL.replace('/api"}', '/api", pay: {}}') + WALLET
CANARY = "canary-5e1f"
HTTP = "kind: http, base_url: 'https://x.example'"


def test_good_config(run: Run, write: Write) -> None:
    """A good config is fine: exit code 0, the wallet's address, no problems."""
    write(KEY, "wallet.key")
    path = write(PAID)
    result = run("check", "--config", str(path), "--json")
    answer = json.loads(result.stdout)
    assert result.returncode == 0
    assert (answer["ok"], answer["problems"], answer["warnings"]) == (True, [], [])
    assert answer["path"] == str(path)
    assert answer["wallet"].startswith("0x")
    assert "is fine" in run("check", "--config", str(path), "--text").stdout


def test_bad_config_has_every_problem_with_its_line(run: Run, write: Write) -> None:
    """All problems come at once, with path and line, and exit code 2."""
    path = write(MINIMAL + "routes: [{path: x, provider: y}]\nlimits: {drain_s: 010}\nx: 1\n")
    result = run("--config", str(path), "check", "--text")
    assert result.returncode == 2
    lines = result.stdout.splitlines()
    assert lines[0] == f"{path}: 3 problems"
    assert lines[1].startswith("  routes[0].path: ")
    assert lines[1].endswith("(line 4)")
    assert lines[2].startswith("  limits.drain_s: ")
    assert lines[3].startswith("  x: unknown key")
    answer = json.loads(run("check", "--config", str(path)).stdout)
    assert [(p["path"], p["line"]) for p in answer["problems"]] == [
        ("routes[0].path", 4),
        ("limits.drain_s", 5),
        ("x", 6),
    ]


def test_files_are_checked(run: Run, write: Write) -> None:
    """A loose key file is a problem with the line that names it."""
    write(KEY, "wallet.key", 0o644)
    path = write(PAID)
    answer = json.loads(run("check", "--config", str(path)).stdout)
    (problem,) = answer["problems"]
    assert (problem["path"], problem["line"]) == ("wallet.key.file", 4)
    assert "0644" in problem["message"]
    assert answer["wallet"] is None


def test_key_that_is_none(run: Run, write: Write) -> None:
    """A file that holds no key is a problem, without a word of what it holds."""
    write(f"{CANARY}\n", "wallet.key")
    result = run("check", "--config", str(write(PAID)), "--text")
    assert result.returncode == 2
    assert "does not hold a private key" in result.stdout
    assert CANARY not in result.stdout + result.stderr


def test_missing_and_loose_config(run: Run, write: Write, tmp_path: Path) -> None:
    """No config, and one that others can write, are bad configs."""
    result = run("check", "--text")
    assert result.returncode == 2
    assert "no such file" in result.stdout
    result = run("check", "--text", FAREBOX_CONFIG=str(write(MINIMAL, mode=0o666)))
    assert result.returncode == 2
    assert "others can write" in result.stdout
    assert not (tmp_path / "home").exists()


def test_no_secret_in_any_output(run: Run, write: Write) -> None:
    """Secrets of every source stay out of every output, whether the config is good or bad."""
    write(KEY, "wallet.key")
    write(f"{CANARY}-file", "api.key")
    auth = (
        f"  a: {{{HTTP}, auth: {{bearer: {{file: api.key}}}}}}\n"
        f"  b: {{{HTTP}, auth: {{bearer: {{env: FAREBOX_TEST_KEY}}}}}}\n"
    )
    good = MINIMAL + auth + WALLET
    environ = {"FAREBOX_TEST_KEY": f"{CANARY}-env"}
    for text in (good, good + f"x: {CANARY}\n", f"{good}wallet: {CANARY}\n"):
        path = str(write(text))
        for arguments in (
            ("check", "--config", path),
            ("check", "--config", path, "--text"),
            ("check", "--config", path, "--explain", "GET", "/v1/models"),
        ):
            result = run(*arguments, **environ)
            assert result.returncode == (0 if text == good else 2), result.stderr
            assert CANARY not in result.stdout + result.stderr
            assert KEY[2:] not in result.stdout + result.stderr


WARNED = {
    "no prices": (
        f"  p: {{{HTTP}, auth: {{bearer: {{env: A}}}}}}\nroutes: [{{path: /p, provider: p}}]",
        "providers.p",
        "not counted against caps",
    ),
    "neither": (
        f"  p: {{{HTTP}}}\nroutes: [{{path: /p, provider: p}}]",
        "providers.p",
        "neither pay nor auth",
    ),
    "no route": (
        f"  p: {{{HTTP}, auth: {{bearer: {{env: A}}}}, prices: []}}",
        "providers.p",
        "no route",
    ),
    "any payee": (
        "  q: {kind: sunra, base_url: 'https://x', pay: {pay_to: any}}\nwallet: {key: {file: k}}",
        "providers.q.pay.pay_to",
        "any",
    ),
    "an unused wallet": ("wallet: {key: {file: k}}", "wallet", "never used"),
    "a key for everybody": (
        "  q: {kind: blockrun, base_url: 'https://x', pay: {}}\nwallet: {key: {env: K}}",
        "wallet.key.env",
        "environment",
    ),
    "a shadowed route": (
        "routes: [{path: '/a/*', provider: auto}, {path: /a/b, provider: auto}]",
        "routes[1].path",
        "never matches",
    ),
    "caps upside down": (
        "routes: [{path: '/a/*', provider: auto, caps: {hour: '3', week: '2'}}]",
        "routes[0].caps.hour",
        "above week",
    ),
}


@pytest.mark.parametrize(("added", "path", "part"), WARNED.values(), ids=WARNED)
def test_warning(added: str, path: str, part: str) -> None:
    """What is allowed and may not be meant is told, with its place, and stops nothing."""
    loaded = parse_config(f"{MINIMAL}{added}\n".encode(), Path("/x/config.yaml"))
    warnings = loaded.place(advice(loaded.config))
    (warning,) = (w for w in warnings if w.path == path and part in w.message)
    assert warning.line is not None
    # The minimal config pays nobody, which is told each time.
    assert {w.path for w in warnings} <= {path, "providers.blockrun"}


def test_limits_that_are_none() -> None:
    """To have no limit by the day is allowed, and told."""
    text = MINIMAL.replace('"1.00"', "none").replace('"2.00"', "none")
    loaded = parse_config(text.encode(), Path("/x/config.yaml"))
    found = [warning.path for warning in advice(loaded.config)]
    assert found[:2] == ["caps.per_request", "caps.day"]


def explain(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Where a request would go under the example config; in this process, which is quicker."""
    result = CliRunner().invoke(main, ["check", "--config", str(EXAMPLE), "--explain", *arguments])
    assert result.exit_code == code, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def _private_example(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    """The example, as a file that is trusted whatever the checkout's modes are."""
    monkeypatch.setattr("tests.config.test_check.EXAMPLE", write(EXAMPLE.read_text()))


@pytest.mark.usefixtures("_private_example")
def test_explain_a_paid_call(write: Write) -> None:
    """A call is told its route, provider, reason, URL, payment and caps."""
    body = write('{"model": "bytedance/seedance-2.0", "prompt": "x"}', "body.json")
    answer = explain("post", "/api/v1/videos/generations?a=b", "--body", str(body))
    assert answer["method"] == "POST"
    assert answer["route"] == "/v1/videos/*"
    assert answer["provider"] == "blockrun"
    assert "seedance-2.0" in answer["why"]
    assert answer["upstream"] == "https://blockrun.ai/api/v1/videos/generations?a=b"
    assert answer["payment"].startswith("a 402 is paid")
    assert {"scope": "provider:blockrun", "window": "day", "limit": "10.00"} in answer["caps"]


@pytest.mark.usefixtures("_private_example")
def test_explain_a_call_with_a_key(write: Write) -> None:
    """A provider with a key and prices: the table says what counts against the caps."""
    path = "/v1/queue/bytedance/seedance-2.0-fast-relay/reference-to-video"
    answer = explain("POST", path, "--body", str(write('{"duration": 10}', "body.json")))
    assert (answer["provider"], answer["price"]) == ("sunra", "$2.00, from the table")
    answer = explain("POST", "/v1/video/generations")
    assert answer["provider"] == "pomex"
    assert "unknown" in answer["price"]


@pytest.mark.usefixtures("_private_example")
def test_explain_a_header_and_a_stripped_prefix() -> None:
    """Headers decide as they would on the wire, and a prefix is taken off."""
    answer = explain("POST", "/v1/videos/generations", "--header", "Farebox-Provider: pomex")
    assert (answer["provider"], answer["why"]) == ("pomex", "Farebox-Provider")
    answer = explain("GET", "/shop/item/1")
    assert answer["upstream"] == "https://shop.example/item/1"


@pytest.mark.usefixtures("_private_example")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nowhere", "no_route"),
        ("/v1/../x", "bad_path"),
        ("/v1/videos/generations/zz", "job_unknown"),
    ],
)
def test_explain_a_refusal(path: str, code: str) -> None:
    """A request that would be refused is told the code, and the exit code is 1."""
    assert explain("GET", path, code=1)["code"] == code


def test_explain_remembers_jobs(write: Write, tmp_path: Path) -> None:
    """A job that the ledger knows belongs to whoever gave it out, as it does on the wire."""
    both = "  pomex: {kind: pomex, base_url: 'https://x', auth: {bearer: {env: A}}}\nstate_dir: .\n"
    path = str(write(MINIMAL + both))
    with closing(connect(tmp_path / FILE_NAME)) as db:
        migrate(db)
        remember(db, [Memory(id="cgt-1", kind="job", provider="pomex")], now=1)
    target = "/v1/videos/generations/cgt-1"
    result = CliRunner().invoke(main, ["check", "--config", path, "--explain", "GET", target])
    answer = json.loads(result.output)
    assert (answer["provider"], answer["why"]) == ("pomex", "a job that it gave out")


THREE = """
  sunra: {kind: sunra, base_url: "https://s", auth: {bearer: {env: A}}, prices:
    [{model: "bytedance/seedance-2.0-fast-relay*", usd_per_second: "0.20", default_seconds: 5}]}
  pomex: {kind: pomex, base_url: "https://p", auth: {bearer: {env: A}},
    default_video_model: "byteplus/seedance-2.0-fast"}
state_dir: .
"""
RELAY = "bytedance/seedance-2.0-fast-relay"


@pytest.fixture
def explained(write: Write, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Explain a call to three providers, over a ledger that knows a portrait and a person."""
    path = str(write(MINIMAL + THREE))
    rachel = Portrait("pomex", "asset-1", "rachel", "real", "group-1", "active")
    gunther = Portrait("sunra", "cgt-1", "gunther", "virtual", None, "processing")
    ross = Session("ps_1", "pomex", "ross", "https://h5", 10)
    janice = Session("ps_2", "blockrun", "janice", "https://h5", 10, group_id="tg 1")
    jobs = [
        Memory("pd_1", "job", "sunra", RELAY),
        Memory("pd_2", "job", "sunra", RELAY, state="completed", answer=b"{}"),
        Memory("azure:1", "job", "blockrun"),
    ]
    mona = Portrait("gone", "x-1", "mona", "virtual", None, "processing")
    with closing(connect(tmp_path / FILE_NAME)) as db:
        migrate(db)
        portraits.enter(db, rachel, 1)
        portraits.enter(db, gunther, 1)
        portraits.enter(db, mona, 1)
        sessions.enter(db, replace(ross, group_id="group-2"), None, 1)
        sessions.enter(db, janice, None, 1)
        remember(db, jobs, 1)

    def ask(
        call: str, body: dict[str, Any] | None, code: int = 0, *more: str, method: str = "POST"
    ) -> dict[str, Any]:
        given = () if body is None else ("--body", str(write(json.dumps(body), "body.json")))
        words = ("--explain", method, call, *given, *more)
        result = CliRunner().invoke(main, ["check", "--config", path, *words])
        assert result.exit_code == code, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    return ask


def test_explain_a_translation(explained: Callable[..., dict[str, Any]]) -> None:
    """A video in the common shape is shown, and priced, as its provider's own call."""
    body = {"model": RELAY, "prompt": "image 1 waves", "duration_seconds": 10}
    references = {"reference_image_urls": ["https://example.com/a.jpg"]}
    answer = explained("/v1/videos/generations", body | references)

    assert answer["upstream"] == f"https://s/v1/queue/{RELAY}/reference-to-video"
    assert answer["written"]["body"]["prompt"] == "@Image1 waves"
    assert answer["price"] == "$2.00, from the table"


def test_explain_what_cannot_be_expressed(explained: Callable[..., dict[str, Any]]) -> None:
    """A field that would be lost is told as the daemon would tell it, with whose it would be."""
    body = {"model": "byteplus/seedance-2.0", "prompt": "x", "resolution": "720p"}
    answer = explained("/v1/videos/generations", body, 1)

    assert (answer["provider"], answer["code"]) == ("pomex", "field_not_supported")
    assert "resolution" in answer["message"]


def test_explain_names(explained: Callable[..., dict[str, Any]]) -> None:
    """A portrait's name finds its id, its provider and its model; a session its person's group."""
    video = explained("/v1/videos/generations", {"portrait": "rachel", "prompt": "image 1 waves"})
    person = explained(
        "/v1/portrait/enroll", {"name": "x", "image_url": "https://x", "session": "ps_1"}
    )
    nobody = explained("/v1/videos/generations", {"portrait": "joey", "prompt": "x"}, 1)

    assert (video["provider"], video["portrait"]) == ("pomex", "asset-1")
    assert video["written"]["body"]["model"] == "byteplus/seedance-2.0-fast"
    assert "asset://asset-1" in json.dumps(video["written"])
    assert (person["provider"], person["session"]) == ("pomex", "ps_1")
    assert person["written"]["body"]["group_id"] == "group-2"
    assert nobody["code"] == "portrait_unknown"


def test_explain_openai_shape(explained: Callable[..., dict[str, Any]]) -> None:
    """A call of OpenAI's shape is told as the common request that it stands for."""
    body = {"model": f"{RELAY}/text-to-video", "prompt": "x", "seconds": "8", "size": "1280x720"}
    answer = explained("/v1/videos", body)
    bad = explained("/v1/videos", {"prompt": "x", "size": "huge"}, 1)

    assert answer["common"] == "POST /v1/videos/generations"
    assert answer["written"]["body"]["duration"] == 8
    assert (answer["written"]["body"]["ratio"], answer["price"]) == (
        "16:9",
        "$1.60, from the table",
    )
    assert bad["code"] in ("bad_request", "field_not_supported")


@pytest.mark.parametrize("path", ["", "/a%3A1", "/a%3A1/content"])
def test_explain_looking_without_asking(run: Run, write: Write, path: str) -> None:
    """HEAD asks nobody and pays nobody: it is answered from the books."""
    done = run("check", "--config", write(MINIMAL), "--explain", "HEAD", f"/v1/videos{path}")
    said = json.loads(done.stdout)
    assert "no provider is asked" in said["answered"]
    assert "upstream" not in said


def test_explain_openai_shape_in_words(run: Run, write: Write) -> None:
    """People see what it stands for before where that goes."""
    path = str(write(MINIMAL + THREE))
    result = run(
        "check", "--text", "--config", path, "--explain", "GET", "/v1/videos/a%3A1/content"
    )
    assert result.stdout.splitlines()[:3] == [
        "GET /v1/videos/a%3A1/content",
        "  common    GET /v1/videos/generations/a%3A1",
        "  route     /v1/videos/*",
    ]


def test_explain_what_stays_as_it_is(explained: Callable[..., dict[str, Any]]) -> None:
    """BlockRun's own shape is written by nobody but the client."""
    answer = explained("/v1/portrait/enroll?a=b", {"name": "x", "image_url": "https://x"})

    assert answer["provider"] == "blockrun"
    assert answer["upstream"].endswith("/v1/portrait/enroll?a=b")
    assert "written" not in answer


@pytest.mark.parametrize(
    "path",
    ["/v1/portrait", "/v1/portrait/sessions", "/v1/videos", "/v1/portrait/rachel",
     "/v1/portrait/sessions/ps_1", "/v1/videos/generations/pd_2", "/v1/videos/pd_2/content"],
)  # fmt: skip
def test_explain_what_the_books_answer(explained: Callable[..., dict[str, Any]], path: str) -> None:
    """Lists, and what has come to its end, stand in the ledger: nobody is asked or paid."""
    answer = explained(path, None, method="GET")

    assert answer["answered"].startswith("from the daemon's own books")
    assert answer.keys().isdisjoint({"upstream", "payment", "price", "written"})
    owners = {"rachel": "pomex", "ps_1": "pomex", "pd_2": "sunra"}
    assert answer.get("provider") == next((owners[w] for w in owners if w in path), None)


@pytest.mark.parametrize(
    ("method", "path", "provider", "upstream"),
    [
        ("GET", "/v1/portrait/gunther", "sunra", "https://s/v1/ark/assets/cgt-1"),
        ("DELETE", "/v1/portrait/Gunther", "sunra", "https://s/v1/ark/assets/cgt-1"),
        ("GET", "/v1/videos/generations/pd_1", "sunra", "https://s/v1/queue/requests/pd_1/status"),
        ("GET", "/v1/videos/pd_1", "sunra", "https://s/v1/queue/requests/pd_1/status"),
        ("GET", "/v1/portrait/sessions/ps_2", "blockrun",
         "https://blockrun.ai/api/v1/realface/status?groupId=tg+1"),
    ],
)  # fmt: skip
def test_explain_what_is_asked_for_the_books(
    explained: Callable[..., dict[str, Any]], method: str, path: str, provider: str, upstream: str
) -> None:
    """What is not at its end is asked of its own provider, by that one's own call."""
    answer = explained(path, None, method=method)

    assert (answer["provider"], answer["upstream"]) == (provider, upstream)
    assert answer["written"]["method"] == method


@pytest.mark.parametrize(
    ("method", "path", "header", "code"),
    [
        ("GET", "/v1/portrait/nobody", "", "portrait_unknown"),
        ("GET", "/v1/portrait/sessions/ps_9", "", "portrait_unknown"),
        ("GET", "/v1/portrait/rachel", "Farebox-Provider: sunra", "route_conflict"),
        ("DELETE", "/v1/portrait/mona", "", "no_route"),
        ("DELETE", "/v1/portrait/rachel", "", "method_not_allowed"),
    ],
)
def test_explain_what_the_books_refuse(
    explained: Callable[..., dict[str, Any]], method: str, path: str, header: str, code: str
) -> None:
    """What is not known, and what its provider cannot do, is told as the daemon tells it."""
    more = ("--header", header) if header else ()

    assert explained(path, None, 1, *more, method=method)["code"] == code


def test_explain_what_the_books_leave_alone(explained: Callable[..., dict[str, Any]]) -> None:
    """Who is not configured any more is not asked; a job of BlockRun's is asked as it stands."""
    gone = explained("/v1/portrait/x-1", None, method="GET")
    job = explained("/v1/videos/generations/azure%3A1", None, method="GET")
    other = explained("/v1/portrait/rachel", {"a": 1}, method="PATCH")

    assert (gone["provider"], "upstream" in gone) == ("gone", False)
    assert job["upstream"] == "https://blockrun.ai/api/v1/videos/generations/azure%3A1"
    assert other["upstream"] == "https://blockrun.ai/api/v1/portrait/rachel"
    assert "written" not in job | other


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/portrait/sessions"), ("GET", "/v1/portrait/rachel")]
)
def test_explain_a_route_of_somebody_elses(write: Write, method: str, path: str) -> None:
    """A route that gives these paths to another service keeps them for it."""
    shop = f"  shop: {{{HTTP}}}\nroutes: [{{path: '/v1/*', provider: shop}}]\n"
    body = ("--body", str(write('{"name": "tom"}', "body.json")))
    words = ("check", "--config", str(write(MINIMAL + shop)), "--explain", method, path)
    result = CliRunner().invoke(main, [*words, *body])

    answer = json.loads(result.stdout)
    assert (answer["upstream"], "written" in answer) == (f"https://x.example{path}", False)


def test_explain_a_session(explained: Callable[..., dict[str, Any]]) -> None:
    """A verification is its provider's own call, or what that cannot express."""
    answer = explained("/v1/portrait/sessions", {"name": "tom"})
    language = explained("/v1/portrait/sessions", {"name": "tom", "lang": "en"}, 1)
    to_pomex = ("--header", "Farebox-Provider: pomex")
    own = {"name": "tom", "callback_url": "https://own.example"}
    pomex = explained("/v1/portrait/sessions", own, 0, *to_pomex)
    nowhere = explained("/v1/portrait/sessions", {"name": "tom"}, 1, *to_pomex)
    sunra = ("--header", "Farebox-Provider: sunra")
    none = explained("/v1/portrait/sessions", {"name": "tom"}, 1, *sunra)

    assert answer["upstream"] == "https://blockrun.ai/api/v1/realface/init"
    assert answer["written"]["body"] == {"name": "tom"}
    assert pomex["written"]["body"] == {"callback_url": "https://own.example"}
    assert (language["code"], nowhere["code"]) == ("field_not_supported", "bad_request")
    assert none["code"] == "method_not_allowed"


def test_explain_a_session_that_ends_here(write: Write) -> None:
    """Where a tunnel shows the daemon, the phone ends there; the secret is not made yet."""
    path = str(write(MINIMAL + THREE + "public_url: https://me.example\n"))
    body = ("--body", str(write('{"name": "tom"}', "body.json")))
    words = ("--explain", "POST", "/v1/portrait/sessions", "--header", "Farebox-Provider: pomex")
    result = CliRunner().invoke(main, ["check", "--config", path, *words, *body])

    assert json.loads(result.stdout)["written"]["body"] == {
        "callback_url": "https://me.example/v1/portrait/callback/…"
    }


def test_explain_a_name_that_is_taken(explained: Callable[..., dict[str, Any]]) -> None:
    """An enrolment under a name that somebody has is refused, with who has it."""
    body = {"name": "Rachel", "image_url": "https://x"}
    answer = explained("/v1/portrait/enroll", body, 1)

    assert (answer["code"], "asset-1 at pomex" in answer["message"]) == (
        "portrait_name_taken",
        True,
    )


def test_explain_the_usual_model(write: Write) -> None:
    """Where the config's usual model is put into a call, what is sent is shown."""
    usual = MINIMAL.replace('/api"}', '/api", default_video_model: azure/sora-2}')
    body = ("--body", str(write('{"prompt": "x"}', "body.json")))
    words = ("check", "--config", str(write(usual)), "--explain", "POST")
    result = CliRunner().invoke(main, [*words, "/v1/videos/generations", *body])

    assert json.loads(result.stdout)["written"] == {
        "method": "POST",
        "path": "/v1/videos/generations",
        "body": {"prompt": "x", "model": "azure/sora-2"},
    }


def test_explain_on_a_terminal(write: Write, tmp_path: Path) -> None:
    """What a provider called its asset cannot move a cursor, in words or as JSON."""
    path = str(write(MINIMAL + THREE))
    evil = "ast\x1b]0;PWN\x07\x9b31m\x7f\u202eé"
    with closing(connect(tmp_path / FILE_NAME)) as db:
        migrate(db)
        portraits.enter(db, Portrait("pomex", evil, "rachel", status="active"), 1)
    body = ("--body", str(write('{"portrait": "rachel", "prompt": "x"}', "body.json")))
    for form in ("--text", "--json"):
        words = ("check", form, "--config", path, "--explain", "POST", "/v1/videos/generations")
        result = CliRunner().invoke(main, [*words, *body])
        assert result.exit_code == 0
        assert all(each.isprintable() for each in result.output.splitlines())
        assert "é" in result.output
    assert json.loads(result.output)["portrait"] == evil


def test_explain_with_a_broken_ledger(write: Write) -> None:
    """A ledger that cannot be read is a fault: a guess without it might be wrong."""
    path = str(write(MINIMAL + "state_dir: .\n"))
    write("not a database, but long enough to have a header of one" * 40, FILE_NAME)
    target = "/v1/videos/generations/cgt-1"
    result = CliRunner().invoke(main, ["check", "--config", path, "--explain", "GET", target])
    assert result.exit_code == 1
    assert "cannot read the ledger" in result.output


@pytest.mark.usefixtures("_private_example")
def test_explain_in_words(run: Run) -> None:
    """A person reads one line for each thing."""
    result = run("check", "--text", "--config", str(EXAMPLE), "--explain", "GET", "/v1/models")
    assert result.stdout.splitlines()[:3] == [
        "GET /v1/models",
        "  route     /v1/*",
        "  provider  blockrun",
    ]
    assert "goes through unpaid" in result.stdout


def test_wrong_usage(run: Run, write: Write) -> None:
    """What makes no sense together is wrong usage, code 2, on stderr."""
    path = str(write(MINIMAL))
    for arguments in (
        ("check", "--config", path, "--body", path),
        ("check", "--config", path, "--explain", "GET"),
        ("check", "--config", path, "--explain", "GET", "/", "--header", "nothing"),
        ("check", "extra"),
        ("chekc",),
    ):
        result = run(*arguments)
        assert result.returncode == 2
        assert "Error: " in result.stderr
        assert "Traceback" not in result.stderr


def test_version_and_help_import_little(run: Run) -> None:
    """The version is told without a config, and the help without any command's libraries."""
    result = run("version")
    assert json.loads(result.stdout).keys() == {"version"}
    assert run("--text", "version").stdout.startswith("farebox ")
    assert run("--version").stdout == run("--text", "version").stdout
    result = run("--help")
    assert result.returncode == 0
    for command in ("serve", "init", "check", "status", "payments", "wallet", "pause", "version"):
        assert f"\n  {command} " in result.stdout


@pytest.mark.usefixtures("_private_example")
def test_explain_a_body_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """What the daemon would not read is not explained as if it said nothing."""
    body = tmp_path / "body.json"
    body.write_text('{"model": "azure/sora-2", "model": "byteplus/seedance-2.0"}')
    call = ("POST", "/v1/videos/generations", "--body", str(body))
    result = run("check", "--config", str(EXAMPLE), "--explain", *call)
    assert result.returncode == 2
    assert "the body cannot be read, here or by the daemon" in result.stderr
