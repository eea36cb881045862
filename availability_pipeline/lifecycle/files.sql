-- What the files say, contract by contract: file_runs, gap_days, gaps and small_runs, all temporary. Files of
-- rowless_files say nothing, and a day with one is in a gap like a day without a file. Parameters about sizes are NULL
-- for a dataset whose sizes say nothing; no file is small then for its size.

-- file_runs: files on days without a break, whether the days of a break were collected or not. The days of a contract are
-- put into a string of bits, one for each from $first_day on and one more at either end: a window over all files would
-- take five times as long.
CREATE OR REPLACE TEMP TABLE file_runs AS
WITH contracts AS (
    SELECT symbol, bitstring_agg(date - $first_day::DATE + 1, 0, $days + 1) AS files
    FROM daily_availability ANTI JOIN rowless_files USING (date, symbol) WHERE available GROUP BY symbol
),
edges AS (
    SELECT
        symbol, $first_day::DATE + day - 1 AS date, get_bit(files, day - 1) = 0 AS is_first,
        get_bit(files, day + 1) = 0 AS is_last
    FROM contracts, (SELECT unnest(range(1, $days + 1))::INTEGER AS day)
    WHERE get_bit(files, day) = 1 AND (is_first OR is_last)
),
bounded AS (
    SELECT
        symbol, date AS last_day, is_last, max(date) FILTER (is_first) OVER (
            PARTITION BY symbol ORDER BY date
        ) AS first_day,
        min(date) FILTER (is_first) OVER (
            PARTITION BY symbol ORDER BY date ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        ) AS next_day
    FROM edges
)
SELECT symbol, first_day, last_day, next_day FROM bounded WHERE is_last;

-- gap_days: every collected day without such a file after a contract's first one. Days that were never collected say nothing.
CREATE OR REPLACE TEMP TABLE gap_days AS
SELECT held.date, symbol, files.last_day AS last_file_day, next_day
FROM (FROM file_runs WHERE last_day < $first_day::DATE + $days - 1) AS files JOIN daily_availability AS held USING (symbol)
WHERE held.date > files.last_day AND (next_day IS NULL OR held.date < next_day);

-- gaps: stretches of them. too_long_from is the day on which one has become so long that files after it are another
-- episode's, where names come back for another listing.
CREATE OR REPLACE TEMP TABLE gaps AS
SELECT
    symbol, last_file_day, next_day, min(date) AS first_day, max(date) AS last_day,
    list(date ORDER BY date)[$episode_gap_days + 1] AS too_long_from,
    $relists AND next_day IS NOT NULL AND too_long_from IS NOT NULL AS long
FROM gap_days GROUP BY symbol, last_file_day, next_day;

-- small_runs: consecutive small files of an episode, whatever days lie between them. A file is small if the bar of its day
-- has no trade (idle) or, where there is no bar, for its size. What a run is follows from its first files and from those
-- before it, so that no later file changes it: flat, from flat_from on; short, because a live file follows before it could
-- be called flat; or undecided. decided_on is the day of the file that makes it flat, or of that live file.
-- Sizes judge the files before the first idle one (idle_from), if there are enough of them. From that on a run is flat when
-- it is longer than a halt or, where an exchange closes for holidays (rests), than a holiday.
-- Unless $every_contract, only those of contracts with a gap that such a run may explain (absence.sql): a third of the cost.
CREATE OR REPLACE TEMP TABLE small_runs AS
WITH contracts AS (
    SELECT DISTINCT symbol FROM file_runs
    WHERE $every_contract OR symbol IN (SELECT symbol FROM gaps WHERE $relists AND next_day IS NOT NULL AND NOT long)
),
candidates AS (
    SELECT date, symbol, true AS idle FROM daily_volume SEMI JOIN contracts USING (symbol) WHERE trades = 0
    UNION ALL
    SELECT date, symbol, false
    FROM daily_availability SEMI JOIN contracts USING (symbol) ANTI JOIN daily_volume USING (date, symbol)
    WHERE file_size_bytes BETWEEN $least_whole_day_bytes AND $small_bytes
),
-- Made first: joining all files with what follows takes three times as long.
held AS MATERIALIZED (
    SELECT files.date, files.symbol, idle, file_size_bytes
    FROM daily_availability AS files JOIN candidates USING (date, symbol) ANTI JOIN rowless_files USING (date, symbol)
    WHERE available
),
small_files AS (
    SELECT
        files.symbol, date, idle, file_size_bytes, if(runs.symbol IS NULL, date + 1, runs.next_day) AS next_day,
        coalesce(gaps.long, false) AS after_long_gap, coalesce(contract_type = 'TRADIFI_PERPETUAL', false) AS rests
    FROM held AS files
    LEFT JOIN file_runs AS runs ON runs.symbol = files.symbol AND runs.last_day = date
    LEFT JOIN gaps ON gaps.symbol = files.symbol AND gaps.next_day = date
    LEFT JOIN symbols ON symbols.symbol = files.symbol
),
begun AS (
    SELECT
        *, after_long_gap OR lag(next_day) OVER (PARTITION BY symbol ORDER BY date) IS DISTINCT FROM date AS begins
    FROM small_files
),
numbered AS (
    SELECT *, count(*) FILTER (begins) OVER (PARTITION BY symbol ORDER BY date) AS run FROM begun
),
-- by_size and by_volume: the days on which the run is long enough.
runs AS (
    SELECT
        symbol, run, rests, min(date) AS first_day, max(date) AS last_day, arg_max_null(next_day, date) AS next_day,
        list(date ORDER BY date) AS days, coalesce(list_position(list(idle ORDER BY date), true) - 1, count(*)) AS sized,
        days[sized + 1] AS idle_from, days[sized + if(rests, $tradifi_idle_files, $idle_files)] AS by_volume,
        if(rests, $tradifi_flat_files, $flat_files) AS needed_files,
        if(sized >= needed_files, days[needed_files], NULL) AS by_size,
        list(file_size_bytes ORDER BY date)[:needed_files] AS first_sizes
    FROM numbered GROUP BY symbol, run, rests
),
-- The sizes of the last live files before a run that sizes may judge.
levels AS (
    SELECT symbol, run, list_median(arg_max(file_size_bytes, date, $level_files)) AS live_level
    FROM (
        SELECT symbol, date, run, file_size_bytes
        FROM (FROM runs WHERE by_size IS NOT NULL) AS runs JOIN daily_availability AS live USING (symbol)
        WHERE available AND date < first_day
    ) ANTI JOIN rowless_files USING (date, symbol) ANTI JOIN small_files USING (date, symbol)
    GROUP BY symbol, run
),
judged AS (
    SELECT
        runs.symbol, runs.first_day, runs.last_day, runs.next_day, idle_from, rests, by_volume,
        by_size IS NOT NULL AND if(
            live_level IS NULL, list_max(first_sizes) <= $no_trade_bytes, list_median(first_sizes) <= live_level / 2
        ) AS flat_by_size,
        CASE
            WHEN flat_by_size OR by_volume IS NOT NULL THEN 'flat'
            WHEN by_size IS NOT NULL OR runs.next_day IS NULL OR coalesce(gaps.long, false) THEN 'undecided'
            ELSE 'short'
        END AS verdict,
        by_size
    FROM runs LEFT JOIN levels USING (symbol, run)
    LEFT JOIN gaps ON gaps.symbol = runs.symbol AND gaps.last_file_day = runs.last_day
)
SELECT
    symbol, first_day, last_day, next_day, idle_from, rests, verdict, if(flat_by_size, first_day, idle_from) AS flat_from,
    CASE verdict WHEN 'flat' THEN if(flat_by_size, by_size, by_volume) WHEN 'short' THEN next_day END AS decided_on
FROM judged;
