-- The rows of daily_availability without url, which the views compute, in two physical orders: a day and a contract are
-- then each a few neighbouring rows. `tail` replaces the last of them; all else is made anew by tables.sql.

CREATE TABLE published.availability_by_date AS FROM availability ORDER BY date, symbol;

CREATE TABLE published.availability_by_symbol AS FROM availability ORDER BY symbol, date;
