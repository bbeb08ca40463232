"""The tables, and how an older file becomes this one.

STRICT tables and CHECKs, so that a wrong value cannot get in. Token amounts are text, because a
uint256 does not fit into SQLite's integers; dollars are integers of millionths, times are Unix
seconds. `user_version` is the schema's version; migrations run forward only, and a file from a
newer version is refused.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

FILE_NAME: Final = "ledger.sqlite3"
BUSY_TIMEOUT_MS: Final = 5000

_V1: Final = """
CREATE TABLE payment (
  id              TEXT PRIMARY KEY,
  created_at      INTEGER NOT NULL,
  client          TEXT,
  provider        TEXT NOT NULL,
  route           TEXT NOT NULL,
  method          TEXT NOT NULL,
  path            TEXT NOT NULL,
  body_sha256     BLOB NOT NULL,
  fingerprint     BLOB NOT NULL,
  idempotency_key TEXT,
  network         TEXT NOT NULL,
  asset           TEXT NOT NULL,
  decimals        INTEGER NOT NULL,
  pay_to          TEXT NOT NULL,
  amount          TEXT NOT NULL CHECK (amount NOT GLOB '*[^0-9]*' AND amount <> ''),
  usd             INTEGER NOT NULL CHECK (usd >= 0),
  state           TEXT NOT NULL CHECK (
    state IN ('reserved', 'sent', 'unknown', 'settled', 'void', 'cancelled', 'expired')
  ),
  tx              TEXT NOT NULL DEFAULT '',
  note            TEXT NOT NULL DEFAULT '',
  http_status     INTEGER,
  job             TEXT
) STRICT;
CREATE INDEX payment_by_state ON payment (state, id);
CREATE INDEX payment_in_doubt ON payment (fingerprint, id) WHERE state = 'unknown';

-- One amount that somebody may take: an authorization (with wallet and nonce), or a call that
-- the price table prices (without).
CREATE TABLE hold (
  id           INTEGER PRIMARY KEY,
  payment      TEXT NOT NULL REFERENCES payment (id),
  wallet       TEXT,
  nonce        BLOB CHECK (nonce IS NULL OR length(nonce) = 32),
  valid_after  INTEGER NOT NULL,
  valid_before INTEGER NOT NULL CHECK (valid_before > valid_after),
  lag_s        INTEGER NOT NULL CHECK (lag_s >= 0), -- our clock behind the ledger's, at signing
  usd          INTEGER NOT NULL CHECK (usd >= 0),
  state        TEXT NOT NULL CHECK (
    state IN ('reserved', 'sent', 'unknown', 'settled', 'void', 'cancelled', 'expired')
  ),
  scopes       TEXT NOT NULL,
  terms        TEXT NOT NULL,
  booked       INTEGER NOT NULL DEFAULT 0 CHECK (booked IN (0, 1)),
  UNIQUE (wallet, nonce)
) STRICT;
CREATE INDEX hold_by_payment ON hold (payment);
CREATE INDEX hold_alive ON hold (valid_before + lag_s) WHERE booked = 0;
CREATE INDEX hold_open ON hold (state) WHERE state IN ('reserved','sent');

-- Running sums by scope, kept in step with `hold` by the same transactions; `taken` lists what
-- was booked, in order, with totals.
CREATE TABLE balance (
  scope       TEXT PRIMARY KEY,
  held        INTEGER NOT NULL CHECK (held >= 0),
  outstanding INTEGER NOT NULL CHECK (outstanding >= 0)
) STRICT;
CREATE TABLE taken (
  scope   TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  hold    INTEGER NOT NULL REFERENCES hold (id),
  usd     INTEGER NOT NULL CHECK (usd >= 0),
  running INTEGER NOT NULL CHECK (running >= 0),
  PRIMARY KEY (scope, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_by_time ON taken (scope, at, seq);
CREATE INDEX taken_by_running ON taken (scope, running, seq);

CREATE TABLE pin (
  provider  TEXT NOT NULL,
  network   TEXT NOT NULL,
  pay_to    TEXT NOT NULL,
  pinned_at INTEGER NOT NULL,
  PRIMARY KEY (provider, network)
) STRICT;

-- Ids that a provider gave out: jobs and assets. A job that is paid for knows its payment and its
-- exact poll URL.
CREATE TABLE memory (
  id         TEXT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('job','asset')),
  provider   TEXT NOT NULL,
  model      TEXT NOT NULL DEFAULT '',
  poll_path  TEXT NOT NULL DEFAULT '',
  payment    TEXT REFERENCES payment (id),
  client     TEXT,
  created_at INTEGER NOT NULL,
  state      TEXT NOT NULL DEFAULT '',
  answer     BLOB,
  PRIMARY KEY (kind, id, provider)
) STRICT;

-- The kill switch: while a row stands here nothing is signed.
CREATE TABLE pause (
  at     INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;
"""

MIGRATIONS: Final = (_V1,)
"""Step n brings a file from version n to n + 1."""


class SchemaError(Exception):
    """The file is not one that this version can work on."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the ledger's file with the pragmas that its promises need.

    A missing file is made, readable by its owner alone.
    """
    if read_only:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return connection
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this version, in one transaction.

    SchemaError if it comes from a newer one.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _known_version(connection)
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        touch(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def touch(connection: sqlite3.Connection) -> None:
    """Write the version once more: the smallest change that the disk has to take."""
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _known_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"the ledger is of version {version}; this program knows {len(MIGRATIONS)}"
        )
    return int(version)


def _statements(script: str) -> list[str]:
    """Split a script, since `executescript` would commit in the middle."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
