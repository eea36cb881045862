-- status_spans and symbol_lifecycle, from the tables of files.sql and absence.sql.

CREATE OR REPLACE TEMP TABLE episodes AS
WITH starts AS (
    SELECT symbol, min(first_day) AS first_day FROM file_runs GROUP BY symbol
    UNION
    SELECT symbol, next_day FROM gaps WHERE long
    UNION
    SELECT symbol, next_day FROM small_runs WHERE verdict = 'flat' AND next_day IS NOT NULL
)
SELECT
    symbol, first_day,
    row_number() OVER (PARTITION BY symbol ORDER BY first_day)::INTEGER AS episode,
    lead(first_day) OVER (PARTITION BY symbol ORDER BY first_day) AS next_first_day
FROM starts;

-- file_spans: files from one change to the next. A change is a first file, a file after a gap, the beginning of a small
-- run, its first file without a trade and the file after it.
CREATE OR REPLACE TEMP TABLE file_spans AS
WITH changes AS (
    SELECT symbol, first_day AS day FROM episodes
    UNION
    SELECT symbol, next_day FROM gaps WHERE next_day IS NOT NULL
    UNION
    SELECT symbol, first_day FROM small_runs
    UNION
    SELECT symbol, idle_from FROM small_runs WHERE idle_from IS NOT NULL
    UNION
    SELECT symbol, next_day FROM small_runs WHERE next_day IS NOT NULL
),
bounded AS (
    SELECT
        symbol, day, lead(day, 1, 'infinity') OVER (PARTITION BY symbol ORDER BY day) AS next_change
    FROM changes
),
counted AS (
    SELECT
        symbol, min(greatest(day, runs.first_day)) AS first_day, max(least(next_change, last_day + 1)) - 1 AS last_day,
        sum(least(next_change, last_day + 1) - greatest(day, runs.first_day)) AS files
    FROM bounded JOIN file_runs AS runs USING (symbol)
    WHERE last_day >= day AND runs.first_day < next_change GROUP BY symbol, day
)
-- A coin without a trade is flat on the day itself, even if it is only a halt; a contract that rests is not.
SELECT
    spans.symbol, episode, coalesce(spans.first_day >= idle_from, false) AS by_volume,
    by_volume AND NOT rests AS at_once, coalesce(verdict = 'flat' AND spans.first_day >= flat_from, false) AS ended,
    if(ended OR at_once, 'flat', 'published') AS status,
    CASE
        WHEN status = 'flat' THEN if(by_volume, 'volume', 'size')
        WHEN verdict IN ('flat', 'undecided') THEN 'undecided'
    END AS evidence,
    spans.first_day, spans.last_day,
    if((ended OR verdict = 'short') AND NOT at_once, decided_on, spans.first_day) AS known_from,
    if(ended, decided_on, NULL) AS settled_on, files
FROM counted AS spans
ASOF JOIN episodes ON episodes.symbol = spans.symbol AND spans.first_day >= episodes.first_day
LEFT JOIN small_runs AS runs ON runs.symbol = spans.symbol
    AND spans.first_day BETWEEN runs.first_day AND runs.last_day;

-- absent_spans: days without a file, or with one that says nothing, before the first episode as well. Days before it are
-- two thirds of all rows, so they are put together first, where no file interrupts them.
CREATE OR REPLACE TEMP TABLE absent_spans AS
WITH unlisted AS NOT MATERIALIZED (
    SELECT symbol, date
    FROM daily_availability LEFT JOIN (FROM episodes WHERE episode = 1) USING (symbol)
    WHERE date < coalesce(first_day, 'infinity')
),
stretches AS (
    SELECT
        symbol, date AS first_day, date AS last_day, last_file_day, absence, status, rowless, known_from
    FROM absent_days
    UNION ALL
    SELECT symbol, min(date), max(date), NULL, NULL, 'not_listed', false, min(date)
    FROM unlisted ANTI JOIN rowless_files USING (symbol) GROUP BY symbol
    UNION ALL
    SELECT unlisted.symbol, unlisted.date, unlisted.date, NULL, NULL, 'not_listed', found.date IS NOT NULL, unlisted.date
    FROM unlisted SEMI JOIN rowless_files USING (symbol)
    LEFT JOIN rowless_files AS found ON found.symbol = unlisted.symbol AND found.date = unlisted.date
),
changes AS (
    SELECT
        *, (status, rowless) IS DISTINCT FROM lag((status, rowless)) OVER (
            PARTITION BY symbol, last_file_day ORDER BY first_day
        ) AS begins
    FROM stretches
),
numbered AS (
    SELECT
        *, count(*) FILTER (begins) OVER (PARTITION BY symbol, last_file_day ORDER BY first_day) AS span
    FROM changes
)
SELECT
    spans.symbol, if(status = 'ended', NULL, episode) AS episode, status, rowless, spans.first_day, spans.last_day,
    known_from, last_file_day, absence
FROM (
    SELECT
        symbol, status, rowless, min(first_day) AS first_day, max(last_day) AS last_day,
        if(status = 'not_listed', min(first_day), max(known_from)) AS known_from, last_file_day, absence
    FROM numbered GROUP BY symbol, last_file_day, absence, span, status, rowless
) AS spans
ASOF LEFT JOIN episodes ON episodes.symbol = spans.symbol AND last_file_day >= episodes.first_day;

CREATE OR REPLACE TABLE status_spans AS
SELECT symbol, episode, status, evidence, first_day, last_day, known_from FROM file_spans
UNION ALL
SELECT symbol, episode, status, NULL, first_day, last_day, known_from FROM absent_spans WHERE NOT rowless
UNION ALL
SELECT symbol, NULL, 'flat', 'no_row', first_day, last_day, first_day FROM absent_spans WHERE rowless
ORDER BY symbol, first_day;

CREATE OR REPLACE TABLE symbol_lifecycle AS
WITH files AS (
    SELECT
        symbol, episode, max(last_day) AS last_day, max(last_day) FILTER (status = 'published') AS last_trading_day,
        sum(files)::BIGINT AS days, coalesce(sum(files) FILTER (status = 'flat'), 0)::BIGINT AS flat_days,
        min(settled_on) AS settled_on
    FROM file_spans GROUP BY symbol, episode
),
ends AS (
    SELECT symbol, last_file_day AS last_day, min(known_from) AS purged_on
    FROM absent_spans WHERE status = 'ended' GROUP BY symbol, last_file_day
),
gap_counts AS (
    SELECT symbol, episode, count(*) AS gaps
    FROM absent_spans WHERE absence = 'gap' AND status = 'missing' AND NOT rowless GROUP BY symbol, episode
)
SELECT
    episodes.symbol, episode, episodes.first_day, last_day, last_trading_day,
    settled_on IS NULL AND purged_on IS NULL AND next_first_day IS NULL AS is_open,
    CASE
        WHEN next_first_day IS NOT NULL THEN 'relisted'
        WHEN settled_on IS NOT NULL THEN 'settled'
        WHEN purged_on IS NOT NULL THEN 'purged'
    END AS end_reason,
    coalesce(settled_on, purged_on) AS known_from, days, flat_days, coalesce(gaps, 0) AS gaps,
    successors.symbol AS successor
FROM episodes JOIN files USING (symbol, episode)
LEFT JOIN ends USING (symbol, last_day)
LEFT JOIN gap_counts USING (symbol, episode)
LEFT JOIN symbols AS folders USING (symbol)
LEFT JOIN symbols AS successors
    ON folders.contract = 'settled' AND successors.symbol = regexp_replace(episodes.symbol, '_?SETTLED$', '')
ORDER BY episodes.symbol, episode;
