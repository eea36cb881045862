-- The small tables of a published database, made from the working one and the rows. All timestamps are UTC.

CREATE OR REPLACE TABLE published.symbols AS FROM symbols ORDER BY symbol;

CREATE OR REPLACE TABLE published.contract_history AS FROM contract_history ORDER BY symbol, valid_from;

CREATE OR REPLACE TABLE published.availability_changes AS FROM availability_changes;

CREATE OR REPLACE TABLE published.collection_runs AS FROM collection_runs;

-- What the files mean: the status of every contract and day, as spans, and contracts' episodes.
CREATE OR REPLACE TABLE published.status_spans AS FROM status_spans ORDER BY symbol, first_day;

CREATE OR REPLACE TABLE published.symbol_lifecycle AS FROM symbol_lifecycle ORDER BY symbol, episode;

-- Every collected day, how many files it has, and how many contracts are in each status.
CREATE OR REPLACE TABLE published.published_days AS
SELECT
    date, count(*) AS row_count, count(*) FILTER (available) AS file_count,
    coalesce(sum(file_size_bytes), 0)::BIGINT AS bytes,
    count(*) FILTER (status = 'published') AS published, count(*) FILTER (status = 'flat') AS flat,
    count(*) FILTER (status = 'pending') AS pending, count(*) FILTER (status = 'missing') AS missing,
    count(*) FILTER (status = 'not_listed') AS not_listed, count(*) FILTER (status = 'ended') AS ended
FROM published.availability_by_date AS held LEFT JOIN published.status_spans AS spans
    ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
GROUP BY date ORDER BY date;

-- Every contract that has rows, and its first and last day with a file.
CREATE OR REPLACE TABLE published.published_symbols AS
SELECT
    symbol, min(date) FILTER (available) AS first_file_day, max(date) FILTER (available) AS last_file_day,
    count(*) FILTER (available) AS file_count
FROM published.availability_by_symbol GROUP BY symbol ORDER BY symbol;

-- One row: what this file says of itself.
CREATE OR REPLACE TABLE published.publication (
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
    program_version VARCHAR NOT NULL,
    rebuilt_at TIMESTAMP NOT NULL,  -- when all rows were last written, and not only the tail
    tail_from DATE                  -- in availability_by_symbol, rows from this day on lie behind all others; NULL: none
);
