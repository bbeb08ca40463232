"""The ledger on disk: SQLite, one writer, every commit durable before anybody hears of it.

`schema` is the tables, `writer` the one thread that commits, `ledger` the door for the daemon;
behind it `reserving` is the transaction before a signature, `resolving` what became of it, `sums`
what counts, `keyed` idempotency keys, `payees` and `quotes` whom and what was paid before, `switch`
the pause, `onchain` what the chain says, `memory` the ids of jobs and assets, `timekeeping` the
clock's row. `people` is for a person beside the daemon, `views` what pages and the command line
read. The rules are not here: they are `proxy.core.ledger`'s.
"""

from proxy.store.ledger import Ledger
from proxy.store.records import (
    ForeignUse,
    Hold,
    Intent,
    KeptAnswer,
    Keyed,
    Memory,
    Reserved,
    Stored,
    Watched,
)
from proxy.store.resolving import Finding
from proxy.store.schema import SchemaError
from proxy.store.writer import LedgerUnavailableError

__all__ = [
    "Finding",
    "ForeignUse",
    "Hold",
    "Intent",
    "KeptAnswer",
    "Keyed",
    "Ledger",
    "LedgerUnavailableError",
    "Memory",
    "Reserved",
    "SchemaError",
    "Stored",
    "Watched",
]
