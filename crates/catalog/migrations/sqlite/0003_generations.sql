-- Generations: what was made of the documents by one pipeline. A collection is found by one generation; while it is
-- re-indexed, the next one is made beside it.

-- The generation that queries see, and how often the pipeline was changed.
ALTER TABLE collections ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- The generation that a document was made for, and the one that its text was extracted for.
ALTER TABLE documents ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN text_generation INTEGER NOT NULL DEFAULT 0;

-- The same chunks, each of a generation, with that of the text that its offsets are for.
CREATE TABLE chunks_of_generations (
    document_id     TEXT NOT NULL REFERENCES documents (id),
    generation      INTEGER NOT NULL,
    chunk_index     INTEGER NOT NULL,
    text_generation INTEGER NOT NULL,
    byte_start      INTEGER NOT NULL,
    byte_end        INTEGER NOT NULL,
    char_start      INTEGER NOT NULL,
    char_end        INTEGER NOT NULL,
    page            INTEGER,
    section         TEXT NOT NULL,
    context         TEXT NOT NULL,
    attrs           TEXT NOT NULL,
    PRIMARY KEY (document_id, generation, chunk_index)
) WITHOUT ROWID;

INSERT INTO chunks_of_generations
SELECT document_id, 0, chunk_index, 0, byte_start, byte_end, char_start, char_end, page, section, context, attrs FROM chunks;
DROP TABLE chunks;
ALTER TABLE chunks_of_generations RENAME TO chunks;

-- The running or last re-index of a collection.
CREATE TABLE reindexes (
    collection_id   TEXT PRIMARY KEY NOT NULL REFERENCES collections (id),
    generation      INTEGER NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('running', 'success', 'failed', 'cancelled')),
    redo            TEXT NOT NULL,
    at_least        TEXT NOT NULL,
    pipeline        TEXT NOT NULL,
    pipeline_lock   TEXT NOT NULL,
    error_code      TEXT,
    error_message   TEXT,
    -- As they were at its end; while it runs they are counted.
    documents_total INTEGER NOT NULL DEFAULT 0,
    documents_done  INTEGER NOT NULL DEFAULT 0,
    chunks_done     INTEGER NOT NULL DEFAULT 0,
    chunks_reused   INTEGER NOT NULL DEFAULT 0,
    started_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL
);

-- What a running re-index has made of a document; the swap puts it into the document's row.
CREATE TABLE remade_documents (
    document_id     TEXT PRIMARY KEY NOT NULL REFERENCES documents (id),
    collection_id   TEXT NOT NULL REFERENCES collections (id),
    generation      INTEGER NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('begun', 'extracted', 'chunked', 'ready')),
    text_generation INTEGER NOT NULL,
    metadata        TEXT NOT NULL,
    pages           INTEGER NOT NULL,
    text_bytes      INTEGER NOT NULL,
    text_chars      INTEGER NOT NULL,
    chunks_total    INTEGER NOT NULL,
    chunks_indexed  INTEGER NOT NULL CHECK (chunks_indexed <= chunks_total),
    chunks_reused   INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    pipeline_lock   TEXT NOT NULL
);

CREATE INDEX remade_documents_counts ON remade_documents (collection_id, state, chunks_indexed, chunks_reused);
