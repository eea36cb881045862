-- The small tables of a published database, made from the working one and the rows. All timestamps are UTC.

CREATE OR REPLACE TABLE published.symbols AS FROM symbols ORDER BY symbol;

CREATE OR REPLACE TABLE published.contract_history AS FROM contract_history ORDER BY symbol, valid_from;

CREATE OR REPLACE TABLE published.availability_changes AS FROM availability_changes;

CREATE OR REPLACE TABLE published.collection_runs AS FROM collection_runs;

-- What the files mean: the status of every contract and day, as spans, and contracts' episodes.
CREATE OR REPLACE TABLE published.status_spans AS FROM status_spans ORDER BY symbol, first_day;

CREATE OR REPLACE TABLE published.symbol_lifecycle AS FROM symbol_lifecycle ORDER BY symbol, episode;

-- Every collected day, how many files it has, and how many contracts are in each status. Where a day has a row in each
-- span that covers it, the contracts are counted from the ends of the spans: joining all rows with them takes five times
-- as long. Other days have rows of some contracts only.
CREATE OR REPLACE TABLE published.published_days AS
WITH days AS (
    SELECT
        date, count(*) AS row_count, count(*) FILTER (available) AS file_count,
        coalesce(sum(file_size_bytes), 0)::BIGINT AS bytes
    FROM published.availability_by_date GROUP BY date
),
steps AS (
    SELECT first_day AS date, status, 1 AS step FROM published.status_spans
    UNION ALL
    SELECT last_day + 1, status, -1 FROM published.status_spans
),
changes AS (
    SELECT
        date, sum(step) AS spans, sum(step) FILTER (status = 'published') AS published,
        sum(step) FILTER (status = 'flat') AS flat, sum(step) FILTER (status = 'pending') AS pending,
        sum(step) FILTER (status = 'missing') AS missing, sum(step) FILTER (status = 'not_listed') AS not_listed,
        sum(step) FILTER (status = 'ended') AS ended
    FROM steps GROUP BY date
),
covered AS (
    SELECT date, row_count, coalesce(sum(COLUMNS(changes.* EXCLUDE (date))) OVER (ORDER BY date), 0)::BIGINT
    FROM days FULL JOIN changes USING (date)
),
complete AS (SELECT * EXCLUDE (row_count, spans) FROM covered WHERE row_count = spans),
joined AS (
    SELECT
        date, count(*) FILTER (status = 'published') AS published, count(*) FILTER (status = 'flat') AS flat,
        count(*) FILTER (status = 'pending') AS pending, count(*) FILTER (status = 'missing') AS missing,
        count(*) FILTER (status = 'not_listed') AS not_listed, count(*) FILTER (status = 'ended') AS ended
    FROM (FROM published.availability_by_date SEMI JOIN (FROM days ANTI JOIN complete USING (date)) USING (date)) AS held
    LEFT JOIN published.status_spans AS spans
        ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
    GROUP BY date
)
SELECT days.*, published, flat, pending, missing, not_listed, ended
FROM days JOIN (FROM complete UNION ALL FROM joined) USING (date)
ORDER BY date;

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
    dataset VARCHAR NOT NULL,       -- by its name in the catalogue
    rebuilt_at TIMESTAMP NOT NULL,  -- when all rows were last written, and not only the tail
    tail_from DATE,                 -- rows from this day on lie behind all others; NULL: none
    tail_symbols VARCHAR[] NOT NULL -- and so do all rows of these contracts, which have no file before that day
);
