-- rowless_files: files that are smaller than any zip of one row, in which the contract's name is twice. Nothing was traded
-- in them, whatever they are.
CREATE OR REPLACE TEMP TABLE rowless_files AS
SELECT date, symbol, file_size_bytes
FROM daily_availability WHERE available AND file_size_bytes < $one_row_bytes + 2 * strlen(symbol);
