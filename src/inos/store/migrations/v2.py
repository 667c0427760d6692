"""Schema 2: what a node keeps of components, applications, keys, the wallet, the cache, preferences and messages.

Each b-tree costs a page of 4 KiB in a database that is otherwise empty, and a simulation opens hundreds of those: rows
that stay small are kept WITHOUT ROWID, one full-text index serves all kinds, and an index is there for a query of a
repository or for a foreign key, or not at all.

Held objects and chunks have their tables since schema 1 (`holdings`, `names`, `chunks`); `objects` shows them together.
"""

from __future__ import annotations

from typing import Final

from inos.store.migrations.step import Migration

_HISTORY: Final = """
CREATE TABLE schema_version (
    version     INTEGER PRIMARY KEY CHECK (version > 0),
    applied_at  INTEGER, -- NULL: taken before this table was there
    description TEXT NOT NULL
) STRICT;
"""

# `number` is what the full-text index knows a row by: VACUUM may renumber rows that have no such column.
_COMPONENTS: Final = """
CREATE TABLE components (
    number       INTEGER PRIMARY KEY,
    component_id TEXT NOT NULL UNIQUE CHECK (length(component_id) BETWEEN 1 AND 128),
    name         TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    version      TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 64),
    type         TEXT NOT NULL CHECK (type IN ('frontend', 'backend')),
    runtime      TEXT NOT NULL CHECK (runtime IN ('static', 'wasm', 'python')),
    description  TEXT NOT NULL,
    author       TEXT NOT NULL,
    license      TEXT NOT NULL,
    manifest     TEXT NOT NULL CHECK (json_valid(manifest) AND json_type(manifest) = 'object'),
    reference    TEXT, -- what it was installed from; NULL: a file
    installed_at INTEGER NOT NULL,
    last_used    INTEGER,
    CHECK ((type = 'frontend') = (runtime = 'static'))
) STRICT;
CREATE INDEX components_by_type ON components (type, component_id);
CREATE INDEX components_by_installed ON components (installed_at, component_id);

CREATE TABLE applications (
    number         INTEGER PRIMARY KEY,
    application_id TEXT NOT NULL UNIQUE CHECK (length(application_id) BETWEEN 1 AND 128),
    name           TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    version        TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 64),
    description    TEXT NOT NULL,
    author         TEXT NOT NULL,
    icon           TEXT, -- a reference
    manifest       TEXT NOT NULL CHECK (json_valid(manifest) AND json_type(manifest) = 'object'),
    reference      TEXT,
    installed_at   INTEGER NOT NULL,
    last_launched  INTEGER,
    launch_count   INTEGER NOT NULL CHECK (launch_count >= 0)
) STRICT;
CREATE INDEX applications_by_launched ON applications (last_launched, application_id);

CREATE TABLE application_components (
    application_id TEXT NOT NULL REFERENCES applications (application_id) ON DELETE CASCADE,
    component_id   TEXT NOT NULL REFERENCES components (component_id) ON DELETE RESTRICT,
    PRIMARY KEY (application_id, component_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX application_components_by_component ON application_components (component_id);

CREATE TABLE component_registry (
    component_id   TEXT PRIMARY KEY REFERENCES components (component_id) ON DELETE RESTRICT,
    version        TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 64),
    wanted         TEXT NOT NULL CHECK (wanted IN ('running', 'stopped')),
    status         TEXT NOT NULL CHECK (status IN ('starting', 'running', 'stopping', 'stopped', 'crashed')),
    pid            INTEGER CHECK (pid > 0),
    endpoint       TEXT NOT NULL,
    started_at     INTEGER,
    last_heartbeat INTEGER,
    restart_count  INTEGER NOT NULL CHECK (restart_count >= 0),
    last_error     TEXT NOT NULL,
    CHECK (status <> 'running' OR (pid IS NOT NULL AND started_at IS NOT NULL)),
    CHECK (status NOT IN ('stopped', 'crashed') OR pid IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX component_registry_by_status ON component_registry (status, component_id);
"""

# The component of a key or a transaction need not be installed, and both outlive it: no foreign key.
_KEYS_AND_WALLET: Final = """
CREATE TABLE keys_metadata (
    key_id           BLOB PRIMARY KEY CHECK (length(key_id) = 32),
    component_id     TEXT NOT NULL CHECK (length(component_id) BETWEEN 1 AND 128),
    kind             TEXT NOT NULL CHECK (kind IN ('ed25519', 'ml_dsa', 'secp256k1')),
    derivation_index INTEGER NOT NULL CHECK (derivation_index BETWEEN 0 AND 4294967295),
    public_key       BLOB NOT NULL,
    purpose          TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    last_used        INTEGER,
    UNIQUE (component_id, kind, derivation_index),
    CHECK (length(public_key) = CASE kind WHEN 'ed25519' THEN 32 WHEN 'secp256k1' THEN 33 ELSE 1952 END)
) STRICT;
CREATE INDEX keys_metadata_by_created ON keys_metadata (created_at, key_id);

CREATE TABLE wallet_transactions (
    tx_hash      TEXT PRIMARY KEY CHECK (length(tx_hash) BETWEEN 1 AND 128),
    from_address TEXT NOT NULL CHECK (length(from_address) BETWEEN 1 AND 128),
    to_address   TEXT NOT NULL CHECK (length(to_address) BETWEEN 1 AND 128),
    -- The smallest unit of the token, as decimal digits: SQLite's integers end at 2^63, a token's at 2^256.
    amount       TEXT NOT NULL CHECK (length(amount) BETWEEN 1 AND 78 AND amount NOT GLOB '*[^0-9]*'
                                      AND (amount = '0' OR amount NOT GLOB '0*')),
    token        TEXT, -- NULL: the network's own
    network      TEXT NOT NULL CHECK (length(network) BETWEEN 1 AND 64),
    status       TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'failed')),
    gas_used     TEXT CHECK (length(gas_used) BETWEEN 1 AND 78 AND gas_used NOT GLOB '*[^0-9]*'
                             AND (gas_used = '0' OR gas_used NOT GLOB '0*')),
    gas_price    TEXT CHECK (length(gas_price) BETWEEN 1 AND 78 AND gas_price NOT GLOB '*[^0-9]*'
                             AND (gas_price = '0' OR gas_price NOT GLOB '0*')),
    purpose      TEXT NOT NULL,
    component_id TEXT, -- that asked for it
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER,
    CHECK ((confirmed_at IS NOT NULL) = (status = 'confirmed'))
) STRICT, WITHOUT ROWID;
CREATE INDEX wallet_transactions_by_time ON wallet_transactions (created_at, tx_hash);
CREATE INDEX wallet_transactions_by_from ON wallet_transactions (from_address, created_at, tx_hash);
CREATE INDEX wallet_transactions_by_to ON wallet_transactions (to_address, created_at, tx_hash);
CREATE INDEX wallet_transactions_by_status ON wallet_transactions (status, created_at, tx_hash);
"""

_CACHE_AND_PREFERENCES: Final = """
CREATE TABLE mesh_cache (
    address       BLOB PRIMARY KEY CHECK (length(address) = 32),
    kind          TEXT NOT NULL CHECK (kind IN ('chunk', 'page', 'manifest', 'record', 'model')),
    content_hash  BLOB CHECK (length(content_hash) = 32), -- SHA-256 of the content, where it is known
    chunk         BLOB NOT NULL REFERENCES chunks (address) ON DELETE CASCADE, -- where its bytes are
    size          INTEGER NOT NULL CHECK (size >= 0),
    cached_at     INTEGER NOT NULL,
    last_accessed INTEGER NOT NULL,
    access_count  INTEGER NOT NULL CHECK (access_count >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX mesh_cache_by_accessed ON mesh_cache (last_accessed, address);
CREATE INDEX mesh_cache_by_content ON mesh_cache (content_hash, address) WHERE content_hash IS NOT NULL;
CREATE INDEX mesh_cache_by_chunk ON mesh_cache (chunk);

CREATE TABLE user_preferences (
    key        TEXT PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 200),
    value      TEXT NOT NULL CHECK (json_valid(value)),
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

# An answer may come before what it answers: no foreign key.
_MESSAGES: Final = """
CREATE TABLE messages (
    number      INTEGER PRIMARY KEY,
    message_id  TEXT NOT NULL UNIQUE CHECK (length(message_id) BETWEEN 1 AND 128),
    channel     TEXT NOT NULL CHECK (length(channel) BETWEEN 1 AND 200),
    sender      TEXT NOT NULL CHECK (length(sender) BETWEEN 1 AND 200),
    recipient   TEXT NOT NULL,
    subject     TEXT NOT NULL,
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
    state       TEXT NOT NULL CHECK (state IN ('unread', 'read', 'acknowledged', 'executed', 'archived')),
    size        INTEGER NOT NULL CHECK (size >= 0),
    reference   TEXT, -- of the content
    reply_to    TEXT,
    sent_at     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    meta        TEXT NOT NULL CHECK (json_valid(meta) AND json_type(meta) = 'object')
) STRICT;
CREATE INDEX messages_by_channel ON messages (channel, sent_at, message_id);
CREATE INDEX messages_by_sender ON messages (sender, sent_at, message_id);
CREATE INDEX messages_by_state ON messages (state, sent_at, message_id);
"""

# One index for all kinds, without a copy of the text: four b-trees instead of five for each. A row is known by
# number * 4 + its kind. Kept by triggers, not deferred: what is found is there, and what is there is found, without a
# worker that may lag or stop; the writes here are few, and those of every second (heartbeats, last use) touch no text.
_SEARCH: Final = """
CREATE VIRTUAL TABLE search USING fts5(
    kind, text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER components_search_added AFTER INSERT ON components BEGIN
    INSERT INTO search (rowid, kind, text) VALUES (new.number * 4, 'components',
        new.component_id || ' ' || new.name || ' ' || new.description || ' ' || new.author);
END;
CREATE TRIGGER components_search_changed AFTER UPDATE OF component_id, name, description, author ON components BEGIN
    UPDATE search SET kind = 'components',
        text = new.component_id || ' ' || new.name || ' ' || new.description || ' ' || new.author
    WHERE rowid = new.number * 4;
END;
CREATE TRIGGER components_search_removed AFTER DELETE ON components BEGIN
    DELETE FROM search WHERE rowid = old.number * 4;
END;
CREATE TRIGGER applications_search_added AFTER INSERT ON applications BEGIN
    INSERT INTO search (rowid, kind, text) VALUES (new.number * 4 + 1, 'applications',
        new.application_id || ' ' || new.name || ' ' || new.description || ' ' || new.author);
END;
CREATE TRIGGER applications_search_changed AFTER UPDATE OF application_id, name, description, author ON applications
BEGIN
    UPDATE search SET kind = 'applications',
        text = new.application_id || ' ' || new.name || ' ' || new.description || ' ' || new.author
    WHERE rowid = new.number * 4 + 1;
END;
CREATE TRIGGER applications_search_removed AFTER DELETE ON applications BEGIN
    DELETE FROM search WHERE rowid = old.number * 4 + 1;
END;
CREATE TRIGGER messages_search_added AFTER INSERT ON messages BEGIN
    INSERT INTO search (rowid, kind, text) VALUES (new.number * 4 + 2, 'messages',
        new.subject || ' ' || new.sender || ' ' || new.channel);
END;
CREATE TRIGGER messages_search_changed AFTER UPDATE OF subject, sender, channel ON messages BEGIN
    UPDATE search SET kind = 'messages', text = new.subject || ' ' || new.sender || ' ' || new.channel
    WHERE rowid = new.number * 4 + 2;
END;
CREATE TRIGGER messages_search_removed AFTER DELETE ON messages BEGIN
    DELETE FROM search WHERE rowid = old.number * 4 + 2;
END;
"""

_OBJECTS: Final = """
CREATE VIEW objects AS
    SELECT cid, state, epoch, size, attached_at, dropped_at,
           (SELECT min(name) FROM names WHERE names.cid = holdings.cid) AS name
    FROM holdings;
"""

V2: Final = Migration(
    "components, keys, wallet, cache, preferences, messages, search",
    _HISTORY + _COMPONENTS + _KEYS_AND_WALLET + _CACHE_AND_PREFERENCES + _MESSAGES + _SEARCH + _OBJECTS,
    frozenset(
        {
            "schema_version",
            "components",
            "applications",
            "application_components",
            "component_registry",
            "keys_metadata",
            "wallet_transactions",
            "mesh_cache",
            "user_preferences",
            "messages",
            "search",
            "objects",
        }
    ),
)
