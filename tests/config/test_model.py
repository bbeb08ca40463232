"""The model: what the config means, what contradicts itself, and what the example shows."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from proxy.configfile import Loaded, parse_config
from proxy.core.config import Config
from tests.config.conftest import MINIMAL
from tests.config.test_yaml import problems_of

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
STARTER = Path(__file__).parents[2] / "proxy" / "cli" / "starter.yaml"
HASH = "a" * 64
HTTP = "kind: http, base_url: 'https://x.example'"

REFUSED = {
    "an unknown key": ("wallets: {}", "wallets", "did you mean wallet?"),
    "an unknown key, deep": (
        f"  x: {{{HTTP}, colour: red}}",
        "providers.x.colour",
        "known here are",
    ),
    "money with 7 decimals": (
        f"  x: {{{HTTP}, caps: {{day: '0.1234567'}}}}",
        "providers.x.caps.day",
        "6 dec",
    ),
    "money with a sign": (
        f"  x: {{{HTTP}, caps: {{day: '-1'}}}}",
        "providers.x.caps.day",
        "dollars",
    ),
    "money with a currency": (
        f"  x: {{{HTTP}, caps: {{day: '$1'}}}}",
        "providers.x.caps.day",
        "dollars",
    ),
    "no money": (f"  x: {{{HTTP}, caps: {{day: null}}}}", "providers.x.caps.day", "dollars"),
    "a port for nobody": ("listen: 127.0.0.1", "listen", "host:port"),
    "a wide door": ("listen: 0.0.0.0:8402", "listen", "needs client tokens"),
    "a wide door, in a list": (
        "listen: [127.0.0.1:1, '[::]:2']",
        "listen[1]",
        "needs client tokens",
    ),
    "no door": ("listen: []", "listen", "at least 1"),
    "plain http": (
        "  x: {kind: http, base_url: 'http://x.example'}",
        "providers.x.base_url",
        "https",
    ),
    "a user in a URL": (
        "  x: {kind: http, base_url: 'https://a@x'}",
        "providers.x.base_url",
        "user",
    ),
    "a bad port": ("  x: {kind: http, base_url: 'https://x:99999'}", "providers.x.base_url", "URL"),
    "a path in public_url": ("public_url: https://me.example/x", "public_url", "without path"),
    "a public host that may ask for everything": (
        "allow_hosts: [box.example, me.EXAMPLE]\npublic_url: 'https://Me.example:8443'",
        "allow_hosts[1]",
        "take it out",
    ),
    "a port in allow_hosts": ("allow_hosts: ['a.example:80']", "allow_hosts[0]", "without scheme"),
    "paying without a wallet": (f"  x: {{{HTTP}, pay: {{}}}}", "providers.x.pay", "needs a wallet"),
    "no payee": (
        f"  x: {{{HTTP}, pay: {{pay_to: []}}}}",
        "providers.x.pay.pay_to",
        "list of addresses",
    ),
    "a payee that is none": (
        f"  x: {{{HTTP}, pay: {{pay_to: ['0x1']}}}}",
        "providers.x.pay.pay_to[0]",
        "40 hex",
    ),
    "a network that is none": (
        f"  x: {{{HTTP}, pay: {{networks: [base]}}}}",
        "providers.x.pay.networks[0]",
        "CAIP",
    ),
    "two sources": (
        f"  x: {{{HTTP}, auth: {{bearer: {{env: A, file: B}}}}}}",
        "providers.x.auth.bearer",
        "one of",
    ),
    "a keystore alone": ("wallet: {key: {keystore: a.json}}", "wallet.key", "password"),
    "the name auto": (f"  auto: {{{HTTP}}}", "providers.auto", "taken"),
    "a name with a space": (f"  a b: {{{HTTP}}}", "providers.a b", "a name"),
    "a route to nobody": (
        "routes: [{path: '/x', provider: y}]",
        "routes[0].provider",
        "no provider",
    ),
    "a star in the middle": (
        "routes: [{path: '/*/x', provider: auto}]",
        "routes[0].path",
        "ends in",
    ),
    "a prefix of another": (
        "routes: [{path: '/a/*', provider: auto, strip_prefix: '/b'}]",
        "routes[0].strip_prefix",
        "does not begin",
    ),
    "a default that is not there": ("default_provider: x", "default_provider", "no provider"),
    "a method that never pays": (
        "routes: [{path: '/a', provider: auto, pay_methods: [HEAD]}]",
        "routes[0].pay_methods[0]",
        "GET",
    ),
    "a token in the clear": (
        "clients: [{name: a, token_sha256: fbx_x}]",
        "clients[0].token_sha256",
        "64",
    ),
    "a client twice": (
        f"clients: [{{name: a, token_sha256: '{HASH}'}}, {{name: a, token_sha256: '{'b' * 64}'}}]",
        "clients[1].name",
        "taken",
    ),
    "a token twice": (
        f"clients: [{{name: a, token_sha256: '{HASH}'}}, {{name: b, token_sha256: '{HASH}'}}]",
        "clients[1].token_sha256",
        "same token",
    ),
    "a price of nothing": (
        f"  x: {{{HTTP}, prices: [{{usd: '1'}}]}}",
        "providers.x.prices[0]",
        "model, path",
    ),
    "a list for settings": ("limits: [1]", "limits", "expected settings"),
    "a word for a list": ("allow_hosts: a", "allow_hosts", "expected a list"),
    "a number for text": ("default_provider: 12", "default_provider", "quote it"),
    "text for a number": ("limits: {drain_s: '12'}", "limits.drain_s", "without quotes"),
}


@pytest.mark.parametrize(("added", "path", "part"), REFUSED.values(), ids=REFUSED)
def test_mistake_is_refused_with_its_place(added: str, path: str, part: str) -> None:
    """Each mistake is one problem, on its line, that says what is expected there."""
    ((found, line, message),) = problems_of(f"{MINIMAL}{added}\n")
    assert (found, line) == (path, 4)
    assert part in message


@pytest.mark.parametrize("missing", ["caps", "providers", "caps.per_request", "caps.day"])
def test_what_must_be_said(missing: str) -> None:
    """The caps and one provider have no defaults."""
    document: dict[str, Any] = yaml.safe_load(MINIMAL)
    *parents, last = missing.split(".")
    for parent in parents:
        document = document[parent]
    whole = yaml.safe_load(MINIMAL)
    (whole[parents[0]] if parents else whole).pop(last)
    ((path, line, message),) = problems_of(yaml.safe_dump(whole))
    assert (path, line, message) == (missing, 1, "is required")


def test_reports_show_no_secret() -> None:
    """A key pasted into the wrong place is not in the report, wherever that was."""
    canary = "c4n4ry" + "d" * 58
    places = (
        f"wallet: {{key: {{file: x, {canary}: 1}}}}",
        f"wallet: {{key: {{{canary}: }}}}",
        f"wallet: {{key: {canary}}}",
        f"wallet: {{key: {{file: [{canary}]}}}}",
        f"wallet: {{key: 0x{'ab' * 32}}}",
        f"wallet: {{key: {{0x{'ab' * 32}: 1}}}}",
        f"  x: {{{HTTP}, auth: {{bearer: {canary}}}}}",
        f"  x: {{{HTTP}, auth: {{bearer: {{{canary}: 1, {canary}: 2}}}}}}",
        f"  x: {{{HTTP}, auth: {{bearer: [{canary}}}",
        f"  x: {{{HTTP}, {canary}: {canary}}}",
        f"clients: [{{name: a, token_sha256: {canary}}}]",
        f"clients: [{{name: a, token_sha256: '{HASH}', {canary}: 1}}]",
        f"{canary}",
    )
    for place in places:
        report = str(problems_of(f"{MINIMAL}{place}\n"))
        assert "c4n4ry" not in report, place
        assert "abab" not in report, place


def loaded(text: str) -> Loaded:
    """Parse a config that is good."""
    return parse_config(text.encode(), Path("/etc/farebox/config.yaml"))


def test_minimal_config_has_the_documented_defaults() -> None:
    """What is left out means what the example's comments say."""
    config = loaded(MINIMAL).config
    assert config.listen == ("127.0.0.1:8402",)
    assert config.wallet is None
    assert config.caps.hour is None
    assert config.limits.body_bytes_max == 268_435_456
    assert config.idempotency.retention_s == 86_400
    assert [route.provider for route in config.routes][-1] == "blockrun"


def test_the_word_none_means_no_limit() -> None:
    """The two limits that must be said may be said to be none."""
    config = loaded(MINIMAL.replace('"1.00"', "none").replace('"2.00"', '"0"')).config
    assert config.caps.per_request is None
    assert config.caps.day == 0


def test_state_directory_is_systemds_unless_the_config_says() -> None:
    """Under systemd the default gives way to $STATE_DIRECTORY, and a line in the config to none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", "/var/lib/farebox:/other")
        assert loaded(MINIMAL).state_dir == Path("/var/lib/farebox")
        assert loaded(f"{MINIMAL}state_dir: here\n").state_dir == Path("/etc/farebox/here")
        patch.delenv("STATE_DIRECTORY")
        patch.setenv("HOME", "/home/me")
        assert loaded(MINIMAL).state_dir == Path("/home/me/.local/state/farebox")


def test_example_is_valid_and_shows_the_defaults() -> None:
    """The example loads as it stands, and its first routes are the default ones."""
    shown = parse_config(EXAMPLE.read_bytes(), EXAMPLE).config
    defaults = loaded(MINIMAL).config
    assert shown.routes[:-1] == defaults.routes
    for name in ("listen", "allow_hosts", "state_dir", "default_provider", "limits", "idempotency"):
        assert getattr(shown, name) == getattr(defaults, name), name


def test_example_explains_every_option() -> None:
    """No option of the model is missing from the example."""
    text = EXAMPLE.read_text(encoding="utf-8")
    missing = [name for name in sorted(_options(Config)) if f"{name}:" not in text]
    assert missing == []


def _options(model: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(name)
        for inner in _models_in(field.annotation):
            found |= _options(inner)
    return found


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def test_starter_is_valid() -> None:
    """The config that init writes loads, and pays nobody but through its caps."""
    config = parse_config(STARTER.read_bytes(), STARTER).config
    assert list(config.providers) == ["blockrun"]
    assert config.caps.outstanding is not None


GOOD = {
    "a unix socket": "listen: unix:/run/farebox.sock",
    "several doors": "listen: [127.0.0.1:8402, '[::1]:8402', localhost:8403, unix:/run/f.sock]",
    "a door with tokens": f"clients: [{{name: a, token_sha256: '{HASH}'}}]\nlisten: 0.0.0.0:80",
    "hosts": "allow_hosts: [Box.example, '[fd00::1]', 10.0.0.1]",
    "a public URL": "public_url: https://me.example:8443/",
    "a keystore": "wallet: {key: {keystore: a.json, password: {credential: b}}}",
    "payees": "  x: {kind: sunra, base_url: 'https://x', pay: {pay_to: ['0x" + "A" * 40 + "']}}\n"
    "wallet: {key: {env: K}}",
    "a token of one's own": "networks: {'eip155:31337': {rpc_url: 'http://127.0.0.1:8545', assets: "
    "[{address: '0x" + "b" * 40 + "', name: Test, version: '1', decimals: 18}]}}\n"
    "wallet: {key: {file: k}}\n",
    "prices": f"  x: {{{HTTP}, prices: [{{path: /x, usd: '0'}}, {{model: m, usd: '1'}}]}}",
    "a jump": f"  x: {{{HTTP}, quote_jump: '1.5'}}",
    "no routes at all": "routes: []",
    "an exact route": "routes: [{path: /v1/x, provider: blockrun, pay_methods: []}]",
    "JSON within": 'limits: {"drain_s": 0}',
}


@pytest.mark.parametrize("added", GOOD.values(), ids=GOOD)
def test_good_config(added: str) -> None:
    """What the documents promise to accept is accepted."""
    assert loaded(f"{MINIMAL}{added}\n").config.caps.day == 2 * 10**6


@pytest.mark.parametrize("ratio", ["1", "0.5", "x", "-3", "3x"])
def test_jump_is_a_ratio_above_one(ratio: str) -> None:
    """A quote may jump up only, and by a number."""
    added = f"  x: {{{HTTP}, quote_jump: '{ratio}'}}\n"
    ((path, _, _),) = problems_of(MINIMAL + added)
    assert path == "providers.x.quote_jump"


def test_network_without_a_token_is_named_with_the_known_ones() -> None:
    """A network whose tokens nobody has described cannot be paid on, and the way out is said."""
    added = (
        f"  x: {{{HTTP}, pay: {{networks: ['eip155:8453', 'eip155:31337']}}}}\n"
        "wallet: {key: {file: k}}\n"
    )
    ((path, line, message),) = problems_of(MINIMAL + added)
    assert (path, line) == ("providers.x.pay.networks[1]", 4)
    assert "networks.eip155:31337.assets" in message
    assert "eip155:8453" in message
