-- The tables of a published database, made from the working one. All timestamps are UTC.

-- The rows of daily_availability without url, which the views compute, in two physical orders: a day and a contract are
-- then each a few neighbouring rows.
CREATE TABLE published.availability_by_date AS
SELECT date, symbol, available, file_size_bytes, last_modified, status_code, probe_timestamp
FROM daily_availability ORDER BY date, symbol;

CREATE TABLE published.availability_by_symbol AS
SELECT date, symbol, available, file_size_bytes, last_modified, status_code, probe_timestamp
FROM daily_availability ORDER BY symbol, date;

CREATE TABLE published.symbols AS FROM symbols ORDER BY symbol;

CREATE TABLE published.availability_changes AS FROM availability_changes;

CREATE TABLE published.collection_runs AS FROM collection_runs;

-- Every collected day, and how many files it has.
CREATE TABLE published.published_days AS
SELECT date, count(*) AS row_count, count(*) FILTER (available) AS file_count
FROM published.availability_by_date GROUP BY date ORDER BY date;

-- Every contract that has rows, and its first and last day with a file.
CREATE TABLE published.published_symbols AS
SELECT
    symbol, min(date) FILTER (available) AS first_file_day, max(date) FILTER (available) AS last_file_day,
    count(*) FILTER (available) AS file_count
FROM published.availability_by_symbol GROUP BY symbol ORDER BY symbol;

-- One row: what this file says of itself.
CREATE TABLE published.publication (
    schema_version INTEGER NOT NULL,
    first_day DATE NOT NULL,
    data_through DATE NOT NULL,     -- the last collected day, whether it has files yet or not
    last_file_day DATE,             -- the last day that has a file
    row_count BIGINT NOT NULL,
    file_count BIGINT NOT NULL,
    symbol_count BIGINT NOT NULL,   -- contracts that have rows
    run_id VARCHAR NOT NULL,
    published_at TIMESTAMP NOT NULL,
    archive_url VARCHAR NOT NULL,
    program_version VARCHAR NOT NULL
);
