-- The catalog: collections, documents, chunks, uploads and events.
--
-- Conventions, kept so that another database can hold the same data: identifiers and states are
-- text; times are RFC 3339 in UTC with six digits of a second (so that text order is time order);
-- JSON is text; counts and offsets are 64-bit integers; nothing depends on a row's number.

CREATE TABLE collections (
    id            TEXT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('live', 'deleting')),
    pipeline      TEXT NOT NULL,
    pipeline_lock TEXT NOT NULL,
    created_at    TEXT NOT NULL
);

-- A name is free again as soon as its collection is being deleted.
CREATE UNIQUE INDEX collections_name ON collections (name) WHERE state = 'live';

CREATE TABLE documents (
    id                 TEXT PRIMARY KEY NOT NULL,
    collection_id      TEXT NOT NULL REFERENCES collections (id),
    filename           TEXT NOT NULL,
    content_type       TEXT NOT NULL,
    file_size          INTEGER NOT NULL CHECK (file_size >= 0),
    sha256             TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN
                       ('received', 'extracted', 'chunked', 'embedded', 'indexed', 'live', 'failed', 'deleting')),
    error_stage        TEXT,
    error_code         TEXT,
    error_message      TEXT,
    metadata           TEXT NOT NULL DEFAULT '{}',
    user_metadata      TEXT NOT NULL DEFAULT '{}',
    pages              INTEGER NOT NULL DEFAULT 0,
    text_bytes         INTEGER NOT NULL DEFAULT 0,
    text_chars         INTEGER NOT NULL DEFAULT 0,
    chunks_total       INTEGER NOT NULL DEFAULT 0,
    chunks_indexed     INTEGER NOT NULL DEFAULT 0 CHECK (chunks_indexed <= chunks_total),
    attempts           INTEGER NOT NULL DEFAULT 0,
    pipeline_lock      TEXT NOT NULL,
    created_at         TEXT NOT NULL,
    updated_at         TEXT NOT NULL,
    processed_at       TEXT,
    processing_seconds REAL
);

-- The same bytes are at most once in a collection. Of two uploads at the same moment one wins here.
CREATE UNIQUE INDEX documents_bytes ON documents (collection_id, sha256) WHERE state NOT IN ('failed', 'deleting');
-- Counts per collection and state are answered from this index alone.
CREATE INDEX documents_stats ON documents (collection_id, state, chunks_total, file_size, text_bytes);
CREATE INDEX documents_sha256 ON documents (sha256);
-- Everything that is neither live nor failed is work to take up again at the next start.
CREATE INDEX documents_work ON documents (state, created_at) WHERE state NOT IN ('live', 'failed');

CREATE TABLE chunks (
    document_id TEXT NOT NULL REFERENCES documents (id),
    chunk_index INTEGER NOT NULL,
    byte_start  INTEGER NOT NULL,
    byte_end    INTEGER NOT NULL,
    char_start  INTEGER NOT NULL,
    char_end    INTEGER NOT NULL,
    page        INTEGER,
    section     TEXT NOT NULL,
    context     TEXT NOT NULL,
    attrs       TEXT NOT NULL,
    PRIMARY KEY (document_id, chunk_index)
) WITHOUT ROWID;

CREATE TABLE uploads (
    id             TEXT PRIMARY KEY NOT NULL,
    collection_id  TEXT NOT NULL REFERENCES collections (id),
    document_id    TEXT REFERENCES documents (id),
    filename       TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    file_size      INTEGER,
    bytes_received INTEGER NOT NULL DEFAULT 0,
    status         TEXT NOT NULL CHECK (status IN
                   ('receiving', 'processing', 'success', 'failed', 'duplicate', 'cancelled')),
    options        TEXT NOT NULL,
    result         TEXT,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL
);

CREATE INDEX uploads_status ON uploads (status, updated_at);
CREATE INDEX uploads_document ON uploads (document_id);
CREATE INDEX uploads_collection ON uploads (collection_id);

-- AUTOINCREMENT: a number is never given twice, also after the newest event was removed.
CREATE TABLE events (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id TEXT NOT NULL,
    collection    TEXT NOT NULL,
    document_id   TEXT,
    kind          TEXT NOT NULL,
    data          TEXT NOT NULL,
    created_at    TEXT NOT NULL
);

CREATE INDEX events_collection ON events (collection, seq);
CREATE INDEX events_document ON events (document_id) WHERE document_id IS NOT NULL;

-- What the bounded log has lost, by the collection's name, so that a reader can be told of a gap
-- in the collections that it may see and of no others.
CREATE TABLE event_horizons (
    collection  TEXT PRIMARY KEY NOT NULL,
    through_seq INTEGER NOT NULL,
    dropped     INTEGER NOT NULL
) WITHOUT ROWID;
