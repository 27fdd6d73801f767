-- The catalog of several servers, as they find it in migrations/sqlite after its last step, and what they share beside it.
--
-- The same conventions: identifiers and states are text, compared byte by byte; times are RFC 3339 in UTC with six digits of
-- a second; JSON is text; counts and offsets are 64-bit integers. Only the lives of servers are PostgreSQL's own times, since
-- one clock must decide who is dead.

-- The server at the other end of this connection, which names itself when it connects.
CREATE FUNCTION this_server() RETURNS text LANGUAGE sql STABLE AS $$ SELECT NULLIF(current_setting('ibid.server', true), '') $$;

-- What is in an array of JSON, each with its place: what json_each is to SQLite.
CREATE FUNCTION json_items(items text) RETURNS TABLE (key bigint, value text) LANGUAGE sql IMMUTABLE AS $$
    SELECT place - 1, item FROM jsonb_array_elements_text(items::jsonb) WITH ORDINALITY AS listed (item, place)
$$;

CREATE TABLE servers (
    id         TEXT COLLATE "C" PRIMARY KEY,
    version    TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    seen_at    TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE collections (
    id            TEXT COLLATE "C" PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('live', 'deleting')),
    pipeline      TEXT NOT NULL,
    pipeline_lock TEXT NOT NULL,
    created_at    TEXT COLLATE "C" NOT NULL,
    place         TEXT COLLATE "C" NOT NULL DEFAULT 'qdrant' CHECK (place IN ('embedded', 'qdrant')),
    moving_to     TEXT COLLATE "C" CHECK (moving_to IN ('embedded', 'qdrant') AND moving_to <> place),
    generation    BIGINT NOT NULL DEFAULT 0,
    revision      BIGINT NOT NULL DEFAULT 0,
    -- The server that removes it.
    owner         TEXT COLLATE "C"
);

CREATE UNIQUE INDEX collections_name ON collections (name) WHERE state = 'live';

CREATE TABLE documents (
    id                 TEXT COLLATE "C" PRIMARY KEY,
    collection_id      TEXT COLLATE "C" NOT NULL REFERENCES collections (id),
    filename           TEXT COLLATE "C" NOT NULL,
    content_type       TEXT COLLATE "C" NOT NULL,
    file_size          BIGINT NOT NULL CHECK (file_size >= 0),
    sha256             TEXT COLLATE "C" NOT NULL,
    state              TEXT COLLATE "C" NOT NULL CHECK (state IN
                       ('received', 'extracted', 'chunked', 'embedded', 'indexed', 'live', 'failed', 'deleting')),
    error_stage        TEXT COLLATE "C",
    error_code         TEXT COLLATE "C",
    error_message      TEXT,
    metadata           TEXT NOT NULL DEFAULT '{}',
    user_metadata      TEXT NOT NULL DEFAULT '{}',
    pages              BIGINT NOT NULL DEFAULT 0,
    text_bytes         BIGINT NOT NULL DEFAULT 0,
    text_chars         BIGINT NOT NULL DEFAULT 0,
    chunks_total       BIGINT NOT NULL DEFAULT 0,
    chunks_indexed     BIGINT NOT NULL DEFAULT 0 CHECK (chunks_indexed <= chunks_total),
    attempts           BIGINT NOT NULL DEFAULT 0,
    pipeline_lock      TEXT NOT NULL,
    created_at         TEXT COLLATE "C" NOT NULL,
    updated_at         TEXT COLLATE "C" NOT NULL,
    processed_at       TEXT COLLATE "C",
    processing_seconds DOUBLE PRECISION,
    generation         BIGINT NOT NULL DEFAULT 0,
    text_generation    BIGINT NOT NULL DEFAULT 0,
    -- The server that processes or removes it; nobody has to where it is live or failed.
    owner              TEXT COLLATE "C" DEFAULT this_server()
);

CREATE UNIQUE INDEX documents_bytes ON documents (collection_id, sha256) WHERE state NOT IN ('failed', 'deleting');
CREATE INDEX documents_stats ON documents (collection_id, state) INCLUDE (chunks_total, file_size, text_bytes);
CREATE INDEX documents_sha256 ON documents (sha256);
CREATE INDEX documents_work ON documents (state, created_at) WHERE state NOT IN ('live', 'failed');

CREATE TABLE chunks (
    document_id     TEXT COLLATE "C" NOT NULL REFERENCES documents (id),
    generation      BIGINT NOT NULL,
    chunk_index     BIGINT NOT NULL,
    text_generation BIGINT NOT NULL,
    byte_start      BIGINT NOT NULL,
    byte_end        BIGINT NOT NULL,
    char_start      BIGINT NOT NULL,
    char_end        BIGINT NOT NULL,
    page            BIGINT,
    section         TEXT NOT NULL,
    context         TEXT NOT NULL,
    attrs           TEXT NOT NULL,
    PRIMARY KEY (document_id, generation, chunk_index)
);

CREATE TABLE uploads (
    id             TEXT COLLATE "C" PRIMARY KEY,
    collection_id  TEXT COLLATE "C" NOT NULL REFERENCES collections (id),
    document_id    TEXT COLLATE "C" REFERENCES documents (id),
    filename       TEXT COLLATE "C" NOT NULL,
    content_type   TEXT COLLATE "C" NOT NULL,
    file_size      BIGINT,
    bytes_received BIGINT NOT NULL DEFAULT 0,
    status         TEXT COLLATE "C" NOT NULL CHECK (status IN
                   ('receiving', 'processing', 'success', 'failed', 'duplicate', 'cancelled')),
    options        TEXT NOT NULL,
    result         TEXT,
    created_at     TEXT COLLATE "C" NOT NULL,
    updated_at     TEXT COLLATE "C" NOT NULL,
    -- The server that its bytes come to.
    owner          TEXT COLLATE "C" DEFAULT this_server()
);

CREATE INDEX uploads_status ON uploads (status, updated_at);
CREATE INDEX uploads_document ON uploads (document_id);
CREATE INDEX uploads_collection ON uploads (collection_id);

CREATE TABLE events (
    seq           BIGINT PRIMARY KEY,
    collection_id TEXT COLLATE "C" NOT NULL,
    collection    TEXT COLLATE "C" NOT NULL,
    document_id   TEXT COLLATE "C",
    kind          TEXT COLLATE "C" NOT NULL,
    data          TEXT NOT NULL,
    created_at    TEXT COLLATE "C" NOT NULL
);

CREATE INDEX events_collection ON events (collection, seq);
CREATE INDEX events_document ON events (document_id) WHERE document_id IS NOT NULL;

-- The number of the newest event. Its row is locked from the numbering to the commit, so that whoever has seen a number has
-- seen all before it.
CREATE TABLE event_numbers (last BIGINT NOT NULL);
INSERT INTO event_numbers VALUES (0);

CREATE TABLE event_horizons (
    collection  TEXT COLLATE "C" PRIMARY KEY,
    through_seq BIGINT NOT NULL,
    dropped     BIGINT NOT NULL
);

CREATE TABLE reindexes (
    collection_id   TEXT COLLATE "C" PRIMARY KEY REFERENCES collections (id),
    generation      BIGINT NOT NULL,
    status          TEXT COLLATE "C" NOT NULL CHECK (status IN ('running', 'success', 'failed', 'cancelled')),
    redo            TEXT COLLATE "C" NOT NULL,
    at_least        TEXT COLLATE "C" NOT NULL,
    pipeline        TEXT NOT NULL,
    pipeline_lock   TEXT NOT NULL,
    error_code      TEXT COLLATE "C",
    error_message   TEXT,
    documents_total BIGINT NOT NULL DEFAULT 0,
    documents_done  BIGINT NOT NULL DEFAULT 0,
    chunks_done     BIGINT NOT NULL DEFAULT 0,
    chunks_reused   BIGINT NOT NULL DEFAULT 0,
    started_at      TEXT COLLATE "C" NOT NULL,
    updated_at      TEXT COLLATE "C" NOT NULL,
    -- The server that runs it.
    owner           TEXT COLLATE "C"
);

CREATE TABLE remade_documents (
    document_id     TEXT COLLATE "C" PRIMARY KEY REFERENCES documents (id),
    collection_id   TEXT COLLATE "C" NOT NULL REFERENCES collections (id),
    generation      BIGINT NOT NULL,
    state           TEXT COLLATE "C" NOT NULL CHECK (state IN ('begun', 'extracted', 'chunked', 'ready')),
    text_generation BIGINT NOT NULL,
    metadata        TEXT NOT NULL,
    pages           BIGINT NOT NULL,
    text_bytes      BIGINT NOT NULL,
    text_chars      BIGINT NOT NULL,
    chunks_total    BIGINT NOT NULL,
    chunks_indexed  BIGINT NOT NULL CHECK (chunks_indexed <= chunks_total),
    chunks_reused   BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    pipeline_lock   TEXT NOT NULL
);

CREATE INDEX remade_documents_counts ON remade_documents (collection_id, state) INCLUDE (chunks_indexed, chunks_reused);

-- Plugins that were installed, for every server.
CREATE TABLE components (
    digest    TEXT COLLATE "C" PRIMARY KEY,
    component BYTEA NOT NULL
);

-- Who begins work owns it; who ends it owns it no longer. A document that is deleted in the middle of its processing stays
-- with the server that processes it until that has stopped.
CREATE FUNCTION own_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('live', 'failed') THEN
        NEW.owner := NULL;
    ELSIF OLD.state IN ('live', 'failed') OR OLD.owner IS NULL THEN
        NEW.owner := this_server();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER own_document BEFORE UPDATE OF state ON documents FOR EACH ROW EXECUTE FUNCTION own_document();

CREATE FUNCTION own_collection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'deleting' THEN
        NEW.owner := this_server();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER own_collection BEFORE UPDATE OF state ON collections FOR EACH ROW EXECUTE FUNCTION own_collection();

CREATE FUNCTION own_reindex() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.owner := CASE WHEN NEW.status = 'running' THEN this_server() END;
    RETURN NEW;
END $$;
CREATE TRIGGER own_reindex BEFORE INSERT OR UPDATE OF status ON reindexes FOR EACH ROW EXECUTE FUNCTION own_reindex();

-- Every server hears of an event once it is committed.
CREATE FUNCTION tell_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ibid_events', NEW.seq::text);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_event AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION tell_event();
