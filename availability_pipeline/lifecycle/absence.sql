-- absent_days: every day of gap_days, and what it is: pending, missing or ended. Where rowless is true, there is a file
-- that says nothing.
--
-- A file is expected on what neighbouring days say, not on a fixed number:
--   gap       the contract has files before and after, the gap is not long, and it did not end before the gap;
--   stopped   no file comes after. The day is too young to be judged, and the contract's last file is hardly older, or
--             of the last day before this one that has files; or the exchange has listed it as trading since, not as
--             listed later; or more than one contract and more than 5 % of the market stopped on the same day, which
--             delistings do not do, and the gap is not too long yet.
-- An expected file is pending while the day is young, then missing. Without one the contract has ended.
--
-- known_from is the day from which on the table, cut after it, says the same: for a gap the day of the next file, for an
-- end the day on which it can no longer be a delay, neither of the contract nor of the market.
CREATE OR REPLACE TEMP TABLE absent_days AS
WITH market AS (
    SELECT date, count(*) AS file_count, lead(date) OVER (ORDER BY date) AS next_market_day
    FROM daily_availability ANTI JOIN rowless_files USING (date, symbol) WHERE available GROUP BY date
),
-- outage_over: the day on which few enough of the contracts that stopped together are left; infinity if too many are,
-- NULL if there never were. A contract of which the market's next day was not collected says nothing of that.
stops AS (
    SELECT
        last_file_day, next_market_day,
        list(coalesce(next_day, 'infinity') ORDER BY next_day DESC NULLS FIRST)
            FILTER (first_day <= coalesce(next_market_day, first_day))[
            1 + greatest(1, floor(0.05 * file_count))::INTEGER
        ] AS outage_over
    FROM gaps JOIN market ON market.date = last_file_day GROUP BY last_file_day, next_market_day, file_count
),
judged_gaps AS (
    SELECT
        gaps.symbol, gaps.last_file_day, next_market_day,
        coalesce(outage_over = 'infinity', false) AND too_long_from IS NULL AS outage,
        least(gaps.next_day, greatest(
            gaps.first_day, if(outage_over IS NULL, NULL, least(outage_over, too_long_from)),
            least(next_market_day, gaps.last_day) + $publication_days
        )) AS end_known_from,
        CASE
            WHEN gaps.next_day IS NULL THEN 'stopped'
            WHEN long THEN 'long'
            WHEN $relists AND runs.verdict = 'flat' AND runs.next_day = gaps.next_day AND runs.last_day = gaps.last_file_day
                THEN 'relisted'
            ELSE 'gap'
        END AS absence
    FROM gaps JOIN stops USING (last_file_day)
    LEFT JOIN small_runs AS runs ON runs.symbol = gaps.symbol AND runs.last_day = gaps.last_file_day
),
known AS (
    SELECT
        days.date, days.symbol, days.last_file_day, days.next_day, absence, rowless_files.date IS NOT NULL AS rowless,
        days.date >= $oldest_young_day AS young,
        outage, end_known_from,
        days.last_file_day >= $oldest_young_day::DATE - 1
            OR next_market_day IS NULL OR next_market_day >= days.date AS hardly_older,
        status = 'TRADING' AND seen_at::DATE BETWEEN days.date + 1 AND $today
            AND (onboard_date IS NULL OR onboard_date <= days.date) AS listed,
        seen_at::DATE - 1 AS listed_on
    FROM gap_days AS days JOIN judged_gaps USING (symbol, last_file_day) LEFT JOIN symbols USING (symbol)
    LEFT JOIN rowless_files ON rowless_files.symbol = days.symbol AND rowless_files.date = days.date
)
SELECT
    date, symbol, last_file_day, next_day, absence, rowless,
    CASE
        WHEN absence = 'gap' OR absence = 'stopped' AND (young AND hardly_older OR outage OR coalesce(listed, false))
            THEN if(young, 'pending', 'missing')
        ELSE 'ended'
    END AS status,
    CASE
        WHEN status = 'pending' THEN $today::DATE - 1
        WHEN absence = 'gap' THEN greatest(next_day, date + $publication_days)
        WHEN absence = 'relisted' OR absence = 'long' AND listed AND listed_on < next_day THEN next_day
        WHEN status = 'ended' THEN end_known_from
        ELSE greatest(date + $publication_days, if(outage, NULL, listed_on))
    END AS known_from
FROM known;
