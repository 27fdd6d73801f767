-- Where a collection's vectors are kept, and where they are being moved to.
ALTER TABLE collections ADD COLUMN place TEXT NOT NULL DEFAULT 'embedded' CHECK (place IN ('embedded', 'qdrant'));
ALTER TABLE collections ADD COLUMN moving_to TEXT CHECK (moving_to IN ('embedded', 'qdrant') AND moving_to <> place);
