-- The tables of the working database, schema version 3. All timestamps are UTC.

CREATE TABLE database_info (
    key VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL
);

-- Every folder ever seen; rows are never deleted.
CREATE TABLE symbols (
    symbol VARCHAR PRIMARY KEY,
    contract VARCHAR NOT NULL,      -- perpetual, settled, delivery, pair or index, from the name
    quote VARCHAR,                  -- NULL where the name ends in no known quote asset
    tracked BOOLEAN NOT NULL,       -- whether it has rows in daily_availability
    first_seen TIMESTAMP NOT NULL,
    contract_type VARCHAR,          -- what exchangeInfo last said, NULL while it has said nothing
    status VARCHAR,
    onboard_date DATE,
    seen_at TIMESTAMP               -- when exchangeInfo last listed it
);

-- What exchangeInfo said: per contract one row for each state that differs from the one before, by time. Only ever
-- appended to, but for valid_to of a contract's last row, which grows with each answer that says the same.
CREATE TABLE contract_history (
    symbol VARCHAR NOT NULL,
    contract_type VARCHAR,          -- NULL, as all that follows, where it was not said in a usable form
    status VARCHAR,
    onboard_date DATE,
    delivery_date TIMESTAMP,        -- the scheduled end; NULL without one
    underlying_type VARCHAR,
    valid_from TIMESTAMP NOT NULL,  -- the first and the last answer that said so
    valid_to TIMESTAMP NOT NULL
);

-- What changed after the first observation of a date and symbol; only ever appended to.
CREATE TABLE availability_changes (
    date DATE NOT NULL,
    symbol VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,          -- published, republished or withdrawn
    old_file_size_bytes BIGINT,
    new_file_size_bytes BIGINT,
    old_last_modified TIMESTAMP,
    new_last_modified TIMESTAMP,
    observed_at TIMESTAMP NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE collection_runs (
    run_id VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,          -- list or head
    window_start DATE NOT NULL,
    window_end DATE NOT NULL,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP NOT NULL,
    requests BIGINT NOT NULL,
    pages BIGINT NOT NULL,
    keys_seen BIGINT NOT NULL,
    rows_written BIGINT NOT NULL,
    changes BIGINT NOT NULL
);
