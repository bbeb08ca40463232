"""What BlockRun remembers: portraits by wallet, faces under verification, generations."""

from collections import defaultdict
from dataclasses import dataclass, field

from proxy.sandbox.wire import Json


@dataclass(slots=True)
class Group:
    """A real person's verification; `token` is the unguessable part of the link for the phone."""

    id: str
    name: str
    token: str
    opened_at: float
    verified: bool = False


@dataclass(slots=True)
class Job:
    """One generation.

    `query` is what its poll URL must carry, `extras` what it carries besides; `failure` is the name
    of what it will end with, None for a clip; `tx` is None until the money has moved.
    """

    id: str
    payer: str
    price: int
    created_at: float
    query: dict[str, str]
    seconds: int
    failure: str | None
    extras: dict[str, str]
    tx: str | None = None


@dataclass(slots=True)
class Books:
    """All of it, in memory; wallets in lower case."""

    portraits: defaultdict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    realfaces: defaultdict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, Group] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
