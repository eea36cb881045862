-- absent_files: every collected day without a file on which one is expected, in a window; one row per contract and day.
--
-- Expected is what neighbouring days say, not a fixed number:
--   inside   the contract has files before and after, at most $longest_hole days apart (more is another listing);
--   stopped  the day is too young to be judged, and the contract's last file is hardly older, or on the last day before
--            this one that has files; or the exchange has listed it as trading since, not as listed later; or more than
--            one contract and more than 5 % of the market stopped on the same day, which delistings do not do.
CREATE OR REPLACE TEMP TABLE absent_files AS
WITH files AS (
    SELECT symbol, date, lead(date) OVER (PARTITION BY symbol ORDER BY date) AS next_day
    FROM daily_availability WHERE available
),
market AS (
    SELECT date, count(*) AS file_count FROM files GROUP BY date
),
last_collected AS (
    SELECT max(date) AS day FROM daily_availability
),
gaps AS (
    SELECT
        symbol, date AS last_file_day, next_day IS NULL AS stopped,
        coalesce(next_day, (SELECT day + 1 FROM last_collected)) AS next_day
    FROM files
    WHERE next_day > date + 1 AND next_day - date - 1 <= $longest_hole
       OR next_day IS NULL AND date < (SELECT day FROM last_collected)
),
stops AS (
    SELECT last_file_day, count(*) AS contracts FROM gaps WHERE stopped GROUP BY last_file_day
),
together AS (
    SELECT last_file_day FROM stops JOIN market ON market.date = stops.last_file_day
    WHERE contracts > 1 AND contracts > 0.05 * file_count
),
gap_days AS (
    SELECT
        gaps.*,
        unnest(generate_series(
            greatest(last_file_day + 1, $start::DATE)::TIMESTAMP, least(next_day - 1, $end::DATE)::TIMESTAMP,
            INTERVAL 1 DAY
        ))::DATE AS date
    FROM gaps
),
collected AS (
    SELECT
        gap_days.date, gap_days.symbol, last_file_day, next_day, stopped,
        gap_days.date > $today::DATE - $publication_days - 1 AS young,
        known.symbol IS NOT NULL AS acknowledged
    FROM gap_days
    JOIN daily_availability AS held
        ON held.date = gap_days.date AND held.symbol = gap_days.symbol AND NOT held.available
    LEFT JOIN known_holes AS known ON known.symbol = gap_days.symbol AND known.date = gap_days.date
)
SELECT date, symbol, last_file_day, next_day, stopped, young, acknowledged
FROM collected LEFT JOIN symbols USING (symbol)
WHERE NOT stopped
   OR young AND (
       last_file_day >= $today::DATE - $publication_days - 1
       OR last_file_day = (SELECT max(market.date) FROM market WHERE market.date < collected.date)
   )
   OR last_file_day IN (FROM together)
   OR status = 'TRADING' AND seen_at::DATE > collected.date
      AND (onboard_date IS NULL OR onboard_date <= collected.date)
ORDER BY date, symbol;

-- judged_days: each collected day of the window, from the first day that could have files.
CREATE OR REPLACE TEMP TABLE judged_days AS
WITH counted AS (
    SELECT date, count(*) FILTER (available) AS files
    FROM daily_availability WHERE date BETWEEN $start AND $end AND date >= $history_start GROUP BY date
),
awaited AS (
    SELECT
        date, count(*) FILTER (young AND NOT acknowledged) AS pending,
        count(*) FILTER (NOT young AND NOT acknowledged) AS missing, count(*) FILTER (acknowledged) AS acknowledged
    FROM absent_files GROUP BY date
)
SELECT
    date, files, coalesce(pending, 0) AS pending, coalesce(missing, 0) AS missing,
    coalesce(acknowledged, 0) AS acknowledged, date > $today::DATE - $publication_days - 1 AS young
FROM counted LEFT JOIN awaited USING (date)
ORDER BY date;
