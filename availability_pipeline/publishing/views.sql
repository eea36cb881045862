-- The relations that readers use. $columns is replaced by the columns of daily_availability (`catalogue.select_sql`), in
-- which the archive's address stands for itself, because a view cannot have bound values.

CREATE OR REPLACE VIEW daily_availability AS
SELECT $columns FROM availability_by_date;

-- The same rows, quick to ask for one contract.
CREATE OR REPLACE VIEW symbol_timeline AS
SELECT $columns FROM availability_by_symbol;

-- What each row means: published, flat, pending, missing, not_listed or ended.
CREATE OR REPLACE VIEW availability_status AS
SELECT held.date, held.symbol, spans.status, spans.evidence
FROM availability_by_date AS held JOIN status_spans AS spans
    ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day;
