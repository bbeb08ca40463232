"""The ledger's tables: what each version of its file adds to the one before, in SQL.

STRICT tables and CHECKs, so that a wrong value cannot get in. Token amounts are text, because a
uint256 does not fit into SQLite's integers; dollars are integers of millionths, times are Unix
seconds. What has been released is never edited: the next change is the next version.
"""

from typing import Final

V1: Final = """
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

V2: Final = """
-- What a hold's state stands on, and what the chain says of it: '' is not asked, 'watched' is
-- asked after until it is one of the others.
ALTER TABLE hold ADD COLUMN evidence TEXT NOT NULL DEFAULT '';
ALTER TABLE hold ADD COLUMN chain TEXT NOT NULL DEFAULT ''
  CHECK (chain IN ('', 'watched', 'used', 'cancelled', 'unused'));
CREATE INDEX hold_watched ON hold (valid_before) WHERE chain = 'watched';

-- How far the chain's log was read, by wallet and token, up to which safe block and its time.
CREATE TABLE chain_cursor (
  network  TEXT NOT NULL,
  asset    TEXT NOT NULL,
  wallet   TEXT NOT NULL,
  block    INTEGER NOT NULL,
  since    INTEGER NOT NULL, -- the chain's time from which on each use must be one of ours
  PRIMARY KEY (network, asset, wallet)
) STRICT;

-- Nonces of our wallet that were used on chain and are not in this ledger: somebody else has the
-- key. While one is not accepted by a person, its wallet signs nothing.
CREATE TABLE foreign_use (
  wallet      TEXT NOT NULL,
  network     TEXT NOT NULL,
  asset       TEXT NOT NULL,
  nonce       BLOB NOT NULL,
  tx          TEXT NOT NULL,
  seen_at     INTEGER NOT NULL,
  accepted_at INTEGER,
  PRIMARY KEY (wallet, network, asset, nonce)
) STRICT;
CREATE INDEX foreign_use_open ON foreign_use (wallet) WHERE accepted_at IS NULL;

-- Whom a provider may have paid on a network; the one that it asks for and nobody accepted yet
-- waits here, one at a time.
CREATE TABLE payee (
  provider   TEXT NOT NULL,
  network    TEXT NOT NULL,
  pay_to     TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('accepted', 'waiting')),
  first_seen INTEGER NOT NULL,
  accepted_at INTEGER,
  PRIMARY KEY (provider, network, pay_to)
) STRICT;
INSERT INTO payee SELECT provider, network, pay_to, 'accepted', pinned_at, pinned_at FROM pin;
DROP TABLE pin;

-- The last price that was paid for a thing, where the config watches for jumps.
CREATE TABLE quote (
  provider TEXT NOT NULL,
  thing    BLOB NOT NULL,
  usd      INTEGER NOT NULL CHECK (usd >= 0),
  at       INTEGER NOT NULL,
  PRIMARY KEY (provider, thing)
) STRICT, WITHOUT ROWID;

-- Requests that their clients gave a key: one payment each, and its answer once it is whole.
CREATE TABLE keyed (
  client      TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  payment     TEXT NOT NULL REFERENCES payment (id),
  created_at  INTEGER NOT NULL,
  status      INTEGER,
  head        TEXT,
  body        BLOB,
  PRIMARY KEY (client, key)
) STRICT;
CREATE INDEX keyed_by_payment ON keyed (payment);
CREATE INDEX keyed_by_age ON keyed (created_at);

-- What the clocks said together when the daemon last looked: one row.
CREATE TABLE clock (
  only    INTEGER PRIMARY KEY CHECK (only = 1),
  boot_id TEXT NOT NULL,
  uptime  REAL NOT NULL,
  wall    REAL NOT NULL,
  ledger  REAL NOT NULL
) STRICT;

ALTER TABLE pause ADD COLUMN source TEXT NOT NULL DEFAULT 'command'
  CHECK (source IN ('command', 'page', 'file', 'config'));

-- Times, totals and numbers grow together in a scope, so one order serves all look-ups. The holds
-- themselves may be forgotten when they are old; what they came to stays in the totals.
ALTER TABLE taken RENAME TO taken_1;
CREATE TABLE taken (
  scope   TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  hold    INTEGER NOT NULL,
  usd     INTEGER NOT NULL CHECK (usd >= 0),
  running INTEGER NOT NULL CHECK (running >= 0),
  PRIMARY KEY (scope, at, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO taken SELECT * FROM taken_1 ORDER BY scope, seq;
DROP TABLE taken_1;

-- What was ever paid: how many payments are in each state, and what their authorizations come to.
-- Triggers keep it in step, so that nothing that changes a state can forget it; what is deleted
-- because it is old stays counted.
CREATE TABLE tally (
  state    TEXT PRIMARY KEY,
  payments INTEGER NOT NULL DEFAULT 0 CHECK (payments >= 0),
  usd      INTEGER NOT NULL DEFAULT 0 CHECK (usd >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO tally (state) VALUES
  ('reserved'), ('sent'), ('unknown'), ('settled'), ('void'), ('cancelled'), ('expired');
UPDATE tally SET
  payments = (SELECT count(*) FROM payment WHERE payment.state = tally.state),
  usd = coalesce((SELECT found.usd FROM
    (SELECT state, sum(usd) AS usd FROM hold GROUP BY state) AS found
    WHERE found.state = tally.state), 0);
CREATE TRIGGER payment_made AFTER INSERT ON payment BEGIN
  UPDATE tally SET payments = payments + 1 WHERE state = new.state;
END;
CREATE TRIGGER payment_moved AFTER UPDATE OF state ON payment WHEN old.state <> new.state BEGIN
  UPDATE tally SET payments = payments - 1 WHERE state = old.state;
  UPDATE tally SET payments = payments + 1 WHERE state = new.state;
END;
CREATE TRIGGER hold_made AFTER INSERT ON hold BEGIN
  UPDATE tally SET usd = usd + new.usd WHERE state = new.state;
END;
CREATE TRIGGER hold_moved AFTER UPDATE OF state ON hold WHEN old.state <> new.state BEGIN
  UPDATE tally SET usd = usd - old.usd WHERE state = old.state;
  UPDATE tally SET usd = usd + new.usd WHERE state = new.state;
END;
CREATE INDEX memory_by_payment ON memory (payment);
CREATE INDEX memory_by_age ON memory (kind, created_at);

-- Portraits that were enrolled through here, and what a client calls them. A name is reserved by a
-- row that is 'enrolling' and has no id of the provider's yet; one that is deleted stays, nameless,
-- so that its id is not taken for a portrait that was never entered.
CREATE TABLE portrait (
  provider   TEXT NOT NULL,
  id         TEXT NOT NULL,
  name       TEXT UNIQUE COLLATE NOCASE,
  kind       TEXT CHECK (kind IN ('virtual', 'real')),
  group_id   TEXT,
  status     TEXT NOT NULL CHECK (
    status IN ('enrolling', 'processing', 'active', 'failed', 'unknown', 'deleted')
  ),
  image_url  TEXT,
  created_at INTEGER NOT NULL,
  models     TEXT NOT NULL DEFAULT '[]',
  request    BLOB NOT NULL DEFAULT x'', -- what enrolled it, to know it when it is sent again
  PRIMARY KEY (provider, id)
) STRICT;
"""

V3: Final = """
-- For a while, before any release, this stood in version 2: what is there is left as it is.
-- When it was reserved, by the ledger's time, which must not fall behind it: 0 in an older file,
-- whose payments say it.
ALTER TABLE hold ADD COLUMN reserved_at INTEGER NOT NULL DEFAULT 0;

-- Verifications of real people, one by provider and name, with the newest link for a phone; and
-- what the callbacks of their links are known by, which is good for one result each.
CREATE TABLE IF NOT EXISTS session (
  id           TEXT PRIMARY KEY,
  provider     TEXT NOT NULL,
  name         TEXT NOT NULL COLLATE NOCASE,
  h5_link      TEXT NOT NULL,
  expires_at   INTEGER NOT NULL,
  status       TEXT NOT NULL CHECK (status IN ('pending', 'verified', 'failed')),
  group_id     TEXT,
  reason       TEXT NOT NULL,
  callback_url TEXT NOT NULL, -- the client's own, and the language it asked for; '' for none
  lang         TEXT NOT NULL,
  response     TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  UNIQUE (provider, name),
  CHECK (status <> 'verified' OR group_id IS NOT NULL)
) STRICT;
CREATE INDEX IF NOT EXISTS session_by_group ON session (group_id) WHERE group_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS session_state (
  sha256     BLOB PRIMARY KEY CHECK (length(sha256) = 32),
  session    TEXT NOT NULL REFERENCES session (id),
  h5_link    TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_state_by_session ON session_state (session);

-- Finished clips that are kept on this disk, or are to be: a row from the first attempt on. One
-- that is 'fetching' is being fetched, or waits until `next_at` to be tried again; 'forgotten' is
-- what was kept for its time. `host` is the one that the config would have to allow.
CREATE TABLE IF NOT EXISTS clip (
  provider   TEXT NOT NULL,
  job        TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('fetching', 'kept', 'failed', 'forgotten')),
  since      INTEGER NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_at    INTEGER NOT NULL DEFAULT 0,
  note       TEXT NOT NULL DEFAULT '',
  host       TEXT NOT NULL DEFAULT '',
  bytes      INTEGER CHECK (bytes > 0),
  sha256     BLOB CHECK (length(sha256) = 32),
  media_type TEXT NOT NULL DEFAULT '',
  kept_at    INTEGER,
  PRIMARY KEY (provider, job),
  CHECK (state <> 'kept' OR (bytes NOTNULL AND sha256 NOTNULL AND kept_at NOTNULL))
) STRICT;
CREATE INDEX IF NOT EXISTS clip_by_age ON clip (kept_at) WHERE state = 'kept';
"""
