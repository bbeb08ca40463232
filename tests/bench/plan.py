"""How long and how often: the full run, and the quick one that only shows that all of it works."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """The measure of everything. `home` is a folder on a real disk, for ledgers and spools."""

    home: Path
    rounds: int
    bulk_rounds: int
    load_s: float
    spin_s: float
    reserve_max: int
    recorded: int
    bulk_bytes: int
    spooled_bytes: int

    def folder(self, name: str) -> Path:
        """A fresh folder."""
        for number in range(1_000_000):
            path = self.home / f"{name}-{number}"
            if not path.exists():
                path.mkdir(parents=True)
                return path
        raise FileExistsError(name)


_MB: Final = 10**6


def full(home: Path) -> Plan:
    """The run whose numbers are worth reading: about six minutes."""
    return Plan(home, 7, 3, 1.2, 0.4, 1500, 1_000_000, 500 * _MB, 200 * _MB)


def quick(home: Path) -> Plan:
    """The run that shows that it runs: under forty seconds."""
    return Plan(home, 2, 1, 0.4, 0.15, 500, 50_000, 100 * _MB, 50 * _MB)
