-- API keys are every server's: what a data directory of its own keeps in auth/keys.json.
CREATE TABLE api_keys (
    id      TEXT COLLATE "C" PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    -- All that is known of it, with the hash of the key, in the JSON that `auth` writes.
    key     TEXT NOT NULL,
    made_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION tell_api_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ibid_api_keys', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_api_keys AFTER INSERT OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION tell_api_keys();
