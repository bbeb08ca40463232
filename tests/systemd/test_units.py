"""The units are what systemd takes, and as tight as they can be."""

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.cli.common import WRONG
from proxy.core.config import Limits

UNITS = Path(__file__).parents[2] / "systemd"
SYSTEM = UNITS / "farebox.service"
USER = UNITS / "user" / "farebox.service"
EXPOSURE_MAX = {SYSTEM: 1.5, USER: 6.5}
"""systemd's own measure, from 0 to 10. A user unit cannot have most of what it counts."""

both = pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed (it comes with the package systemd)",
)


def settings(unit: Path) -> dict[str, str]:
    """Read a unit's [Service] section; of a key that stands there twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # the documented way
    parser.read(unit)
    return dict(parser["Service"])


def installed(unit: Path, directory: Path) -> Path:
    """Copy a unit to where its program exists, for `verify` looks for it."""
    program = settings(unit)["ExecStart"].split()[0]
    copy = directory / unit.name
    copy.write_text(unit.read_text().replace(f"ExecStart={program}", "ExecStart=/bin/true"))
    return copy


def systemd_analyze(directory: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze with a runtime directory, which it wants for user units."""
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(directory), "SYSTEMD_COLORS": "0"}
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@analyze
@both
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say; a key that it ignores it would only tell."""
    whose = "--user" if unit is USER else "--system"
    ran = systemd_analyze(tmp_path, whose, "verify", installed(unit, tmp_path))
    assert (ran.returncode, ran.stderr) == (0, "")


@analyze
@both
def test_little_is_exposed(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze security` rates the unit under its threshold."""
    limit = f"--threshold={round(EXPOSURE_MAX[unit] * 10)}"
    ran = systemd_analyze(tmp_path, "security", "--offline=true", limit, installed(unit, tmp_path))
    assert ran.returncode == 0, ran.stdout


@both
def test_a_stop_may_take_as_long_as_the_daemon_takes(unit: Path) -> None:
    """The kill comes later than the daemon gives up waiting for paid requests, by default."""
    assert int(settings(unit)["TimeoutStopSec"]) > Limits().drain_s


@both
def test_a_config_that_is_no_good_is_not_tried_again(unit: Path) -> None:
    """The exit code that says so is one after which there is no restart."""
    assert settings(unit)["RestartPreventExitStatus"] == str(WRONG)


@both
def test_no_secret_in_a_unit(unit: Path) -> None:
    """The environment is no place for keys: any user can read a unit."""
    assert not {"Environment", "EnvironmentFile", "PassEnvironment"} & settings(unit).keys()
    assert settings(unit)["LimitCORE"] == "0"
