-- What the files say, contract by contract: file_days, gap_days, gaps and small_runs, all temporary. Files of
-- rowless_files say nothing, and a day with one is in a gap like a day without a file. Parameters about sizes are NULL
-- for a dataset whose sizes say nothing; no file is small then.

CREATE OR REPLACE TEMP TABLE file_days AS
SELECT
    symbol, date, file_size_bytes,
    coalesce(file_size_bytes BETWEEN $least_whole_day_bytes AND $small_bytes, false) AS small,
    lead(date) OVER (PARTITION BY symbol ORDER BY date) AS next_day
FROM daily_availability ANTI JOIN rowless_files USING (date, symbol) WHERE available;

-- gap_days: every collected day without such a file after a contract's first one. Days that were never collected say nothing.
CREATE OR REPLACE TEMP TABLE gap_days AS
SELECT held.date, symbol, files.date AS last_file_day, next_day
FROM file_days AS files JOIN daily_availability AS held USING (symbol)
WHERE (next_day IS NULL OR next_day > files.date + 1)
  AND held.date > files.date AND (next_day IS NULL OR held.date < next_day);

-- gaps: stretches of them. too_long_from is the day on which one has become so long that files after it are another
-- episode's.
CREATE OR REPLACE TEMP TABLE gaps AS
SELECT
    symbol, last_file_day, next_day, min(date) AS first_day, max(date) AS last_day,
    list(date ORDER BY date)[$episode_gap_days + 1] AS too_long_from,
    next_day IS NOT NULL AND too_long_from IS NOT NULL AS long
FROM gap_days GROUP BY symbol, last_file_day, next_day;

-- small_runs: consecutive small files of an episode, whatever days lie between them. What a run is follows from its first
-- files and from those before it, so that no later file changes it: flat; short, because a live file follows before it
-- could be called flat; or undecided. decided_on is the day of the file that makes it flat, or of that live file.
CREATE OR REPLACE TEMP TABLE small_runs AS
WITH quiet AS (
    SELECT
        symbol, if(contract_type = 'TRADIFI_PERPETUAL', $tradifi_flat_files, $flat_files) AS needed_files
    FROM (SELECT DISTINCT symbol FROM file_days WHERE small) LEFT JOIN symbols USING (symbol)
),
numbered AS (
    SELECT
        files.*, needed_files, coalesce(gaps.long, false) AS after_long_gap,
        count(*) FILTER (NOT small) OVER (PARTITION BY files.symbol ORDER BY files.date) AS live_number,
        lag(small, 1, false) OVER (PARTITION BY files.symbol ORDER BY files.date) AS after_small
    FROM file_days AS files JOIN quiet USING (symbol)
    LEFT JOIN gaps ON gaps.symbol = files.symbol AND gaps.next_day = files.date
),
small_files AS (
    SELECT
        *, count(*) FILTER (after_long_gap OR NOT after_small) OVER (PARTITION BY symbol ORDER BY date) AS run
    FROM numbered WHERE small
),
runs AS (
    SELECT
        symbol, run, live_number, needed_files, count(*) AS files, min(date) AS first_day, max(date) AS last_day,
        arg_max_null(next_day, date) AS next_day, list(date ORDER BY date)[needed_files] AS flat_on,
        list(file_size_bytes ORDER BY date)[:needed_files] AS first_sizes
    FROM small_files GROUP BY symbol, run, live_number, needed_files
),
levels AS (
    SELECT runs.symbol, run, median(live.file_size_bytes) AS live_level
    FROM runs JOIN numbered AS live ON live.symbol = runs.symbol AND NOT live.small
        AND live.live_number BETWEEN runs.live_number - $level_files + 1 AND runs.live_number
    GROUP BY runs.symbol, run
),
judged AS (
    SELECT
        runs.symbol, runs.first_day, runs.last_day, runs.next_day, flat_on,
        CASE
            WHEN files < needed_files THEN
                if(runs.next_day IS NULL OR coalesce(gaps.long, false), 'undecided', 'short')
            WHEN live_level IS NULL THEN if(list_max(first_sizes) <= $no_trade_bytes, 'flat', 'undecided')
            ELSE if(list_median(first_sizes) <= live_level / 2, 'flat', 'undecided')
        END AS verdict
    FROM runs LEFT JOIN levels USING (symbol, run)
    LEFT JOIN gaps ON gaps.symbol = runs.symbol AND gaps.last_file_day = runs.last_day
)
SELECT
    symbol, first_day, last_day, next_day, verdict,
    CASE verdict WHEN 'flat' THEN flat_on WHEN 'short' THEN next_day END AS decided_on
FROM judged;
