"""The ledger on disk: SQLite, one writer, every commit durable before anybody hears of it.

`schema` is the tables, `writer` the one thread that commits, `ledger` what a payment does to them
(reserve, resolve, sums), `memory` the ids of jobs and assets, `views` what pages and the command
line read. The rules are not here: they are `proxy.core.ledger`'s.
"""

from proxy.store.ledger import Ledger
from proxy.store.records import Hold, Intent, Memory, Reserved, Stored
from proxy.store.schema import SchemaError
from proxy.store.writer import LedgerUnavailableError

__all__ = [
    "Hold",
    "Intent",
    "Ledger",
    "LedgerUnavailableError",
    "Memory",
    "Reserved",
    "SchemaError",
    "Stored",
]
