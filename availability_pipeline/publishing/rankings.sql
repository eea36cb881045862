-- The rank of each contract by traded value on each day from $first to $last, among the contracts that traded on it.
-- Changes compare with the rank so many calendar days before, and are NULL without one; a negative one is a rise.
-- volume and files stand for the relations of daily bars and of files.
WITH ranked AS (
    SELECT
        date, symbol, quote_volume, trades,
        dense_rank() OVER of_day AS rank, 100 * percent_rank() OVER of_day AS percentile,
        100 * quote_volume / nullif(sum(quote_volume) OVER (PARTITION BY date), 0) AS share
    FROM $volume WHERE trades > 0 AND date BETWEEN $first::DATE - 30 AND $last::DATE
    WINDOW of_day AS (PARTITION BY date ORDER BY quote_volume DESC)
),
counted AS (
    SELECT symbol, date, row_number() OVER (PARTITION BY symbol ORDER BY date) AS files
    FROM $files WHERE available AND date BETWEEN $first::DATE - 30 AND $last::DATE
)
SELECT
    today.date, today.symbol, today.rank::SMALLINT AS rank, today.quote_volume AS quote_volume_usdt,
    today.trades AS trade_count,
    (today.rank - day_before.rank)::SMALLINT AS rank_change_1d,
    (today.rank - week_before.rank)::SMALLINT AS rank_change_7d,
    (today.rank - fortnight_before.rank)::SMALLINT AS rank_change_14d,
    (today.rank - month_before.rank)::SMALLINT AS rank_change_30d,
    today.percentile::FLOAT AS percentile, today.share::FLOAT AS market_share_pct,
    (coalesce(until.files, 0) - coalesce(earlier.files, 0))::TINYINT AS days_available
FROM (FROM ranked WHERE date >= $first::DATE) AS today
LEFT JOIN ranked AS day_before ON day_before.symbol = today.symbol AND day_before.date = today.date - 1
LEFT JOIN ranked AS week_before ON week_before.symbol = today.symbol AND week_before.date = today.date - 7
LEFT JOIN ranked AS fortnight_before
    ON fortnight_before.symbol = today.symbol AND fortnight_before.date = today.date - 14
LEFT JOIN ranked AS month_before ON month_before.symbol = today.symbol AND month_before.date = today.date - 30
ASOF LEFT JOIN counted AS until ON until.symbol = today.symbol AND today.date >= until.date
ASOF LEFT JOIN counted AS earlier ON earlier.symbol = today.symbol AND today.date - 30 >= earlier.date
