"""The `mirror` part of the config: its presence switches mirroring on."""

import pytest

from proxy.core.config import Config
from tests.cli.house import House, build
from tests.config.conftest import MINIMAL
from tests.config.test_model import loaded
from tests.config.test_yaml import problems_of


def of(text: str) -> Config:
    """A minimal config with one more line."""
    return loaded(f"{MINIMAL}{text}\n").config


def test_left_out() -> None:
    """Nothing is kept unless somebody asks for it."""
    assert of("").mirror is None


def test_defaults() -> None:
    """An empty block is enough, and allows no host but a provider's own."""
    mirror = of("mirror: {}").mirror
    assert mirror is not None
    assert (mirror.hosts, mirror.retention_days) == ((), 30)
    assert (mirror.clip_bytes_max, mirror.total_bytes_max) == (2**30, 10 * 2**30)


GOOD = ["cdn.example", "a-b.c_d.example", "*.cdn.example", "*.a.b.example", "localhost", "x" * 63]


@pytest.mark.parametrize("host", GOOD)
def test_good_host(host: str) -> None:
    """A name, or all below one."""
    mirror = of(f"mirror: {{hosts: ['{host}']}}").mirror
    assert mirror is not None
    assert mirror.hosts == (host,)


BAD = [
    "*",
    "*.example",
    "*.*.example",
    "a.*.example",
    "cdn*.example",
    "*cdn.example",
    "CDN.example",
    "cdn.example.",
    ".cdn.example",
    "cdn..example",
    "-cdn.example-",
    "https://cdn.example",
    "cdn.example:443",
    "cdn.example/x",
    "me@cdn.example",
    "127.0.0.1",
    "*.0.0.1",
    "[::1]",
    "",
    "c\u00f6n.example",
    "a." * 130 + "example",
]


@pytest.mark.parametrize("host", BAD)
def test_bad_host(host: str) -> None:
    """Anything else is refused where it stands, a whole top-level domain too."""
    ((path, _, message),) = problems_of(f"{MINIMAL}mirror: {{hosts: ['{host}']}}\n")
    assert path == "mirror.hosts[0]"
    assert "small letters" in message


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ("{clip_bytes_max: 1023}", "mirror.clip_bytes_max"),
        ("{clip_bytes_max: '1G'}", "mirror.clip_bytes_max"),
        ("{total_bytes_max: 0}", "mirror.total_bytes_max"),
        ("{retention_days: 0}", "mirror.retention_days"),
        ("{hosts: cdn.example}", "mirror.hosts"),
        ("{host: [cdn.example]}", "mirror.host"),
        ("{clip_bytes_max: 2000, total_bytes_max: 1999}", "mirror"),
        ("true", "mirror"),
    ],
)
def test_bad_block(block: str, path: str) -> None:
    """Bounds hold, and a clip that could never fit is a contradiction."""
    ((found, _, _),) = problems_of(f"{MINIMAL}mirror: {block}\n")
    assert found == path


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A config with a wallet."""
    return build(tmp_path_factory.mktemp("house"))


def test_check(house: House) -> None:
    """`farebox check` takes the block, and names what is wrong in it by its path and line."""
    good = house.config.read_text()
    house.config.write_text(f"{good}\nmirror:\n  hosts: ['*.cdn.example']\n")
    assert house.call("check").code == 0
    house.config.write_text(f"{good}\nmirror:\n  hosts: ['*']\n")
    said = house.call("check")
    assert said.code == 2
    assert said.json()["problems"][0]["path"] == "mirror.hosts[0]"
