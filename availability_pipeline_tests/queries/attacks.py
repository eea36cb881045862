"""Statements that try to write, to read something else than the published relations, or to lift the restrictions."""

from __future__ import annotations

WRITES = """
INSERT INTO symbols SELECT * FROM symbols
UPDATE symbols SET tracked = false
DELETE FROM symbols
DELETE FROM symbols RETURNING *
MERGE INTO symbols a USING symbols b ON a.symbol = b.symbol WHEN MATCHED THEN DELETE
TRUNCATE symbols
DROP TABLE symbols
DROP VIEW daily_availability
ALTER TABLE symbols RENAME TO other
COMMENT ON TABLE symbols IS 'x'
CREATE TABLE t (i INTEGER)
CREATE TABLE published.t AS SELECT 1
CREATE OR REPLACE VIEW daily_availability AS SELECT 1
CREATE SEQUENCE s
CREATE TYPE t AS ENUM ('a')
CREATE SCHEMA s
CREATE PERSISTENT SECRET (TYPE http)
ATTACH 'stolen.duckdb'
COPY symbols TO 'stolen.csv'
COPY symbols TO 'stolen.parquet' (FORMAT parquet)
COPY (SELECT 1) TO '/dev/stderr'
COPY symbols FROM 'secret.csv'
EXPORT DATABASE 'stolen'
IMPORT DATABASE 'stolen'
EXPLAIN ANALYZE COPY symbols TO 'stolen.csv'
WITH a AS (INSERT INTO symbols SELECT * FROM symbols RETURNING *) SELECT * FROM a
WITH a AS (UPDATE symbols SET tracked = false RETURNING *) SELECT * FROM a
WITH a AS (DELETE FROM symbols RETURNING *) SELECT * FROM a
WITH a AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM a
WITH a AS (COPY symbols TO 'stolen.parquet' (FORMAT parquet)) SELECT 1
SELECT * FROM (WITH a AS (DELETE FROM symbols RETURNING *) SELECT * FROM a)
SELECT (WITH a AS (DELETE FROM symbols RETURNING 1 AS b) SELECT b FROM a)
SELECT 1 WHERE EXISTS (WITH a AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM a)
WITH a AS (WITH b AS (COPY (SELECT 1) TO 'stolen.csv') FROM b) FROM a
SUMMARIZE WITH a AS (COPY (SELECT 1) TO 'stolen.csv') FROM a
FROM enable_logging(storage = 'file', storage_path = 'stolen.csv')
FROM enable_profiling(save_location = 'stolen.json')
COPY (SELECT 1) TO 'availability.duckdb' (FORMAT csv, USE_TMP_FILE false)
COPY (SELECT 1) TO 'availability.duckdb.wal' (FORMAT csv)
COPY (SELECT 1) TO 'manifest.json' (FORMAT csv, USE_TMP_FILE false)
COPY (SELECT 1) TO '{path}' (FORMAT csv, USE_TMP_FILE false)
COPY (SELECT 1) TO '{path}.wal' (FORMAT csv)
COPY (SELECT 1) TO '{path}.wal.checkpoint' (FORMAT csv, USE_TMP_FILE false)
WITH a AS (COPY (SELECT 1) TO '{path}.wal' (FORMAT csv)) FROM a
ATTACH '{path}' AS again
ATTACH '{path}' AS again (READ_ONLY)
USE memory; DETACH published; ATTACH '{path}' AS again; DROP VIEW again.daily_availability
ATTACH '{working}' AS working
""".strip().splitlines()
"""They fail; `{path}` is the published database, of which DuckDB itself keeps the path accessible."""

READS = """
FROM 'secret.csv'
FROM "secret.csv"
FROM 'secret.parquet'
FROM 'https://example.invalid/a.parquet'
FROM '/etc/passwd'
SUMMARIZE 'secret.csv'
DESCRIBE FROM 'secret.csv'
FROM read_csv('secret.csv')
FROM read_csv_auto('secret.csv')
FROM sniff_csv('secret.csv')
FROM read_text('secret.csv')
FROM read_blob('/etc/passwd')
FROM read_blob('{path}')
FROM read_json('secret.csv')
FROM read_ndjson_objects('secret.csv')
FROM read_parquet('secret.parquet')
FROM read_parquet('s3://example/a.parquet')
FROM parquet_scan('https://example.invalid/a.parquet')
FROM parquet_metadata('secret.parquet')
FROM read_duckdb('other.duckdb')
FROM glob('*')
FROM read_text('/proc/self/environ')
SELECT (SELECT content FROM read_text('secret.csv'))
SELECT * FROM symbols JOIN READ_TEXT('secret.csv') ON true
SELECT * FROM symbols WHERE symbol IN (FROM glob('*'))
WITH secret AS (FROM read_text('secret.csv')) FROM secret
FROM query('FROM read_text(''secret.csv'')')
FROM query_table(['symbols', 'secret.csv'])
CREATE TEMP TABLE t AS FROM 'secret.csv'
CREATE TEMP VIEW v AS FROM read_text('secret.csv'); FROM v
CREATE TEMP MACRO m() AS TABLE FROM read_text('secret.csv'); FROM m()
FROM a_python_table
SELECT getenv('HOME')
ATTACH 'other.duckdb' (READ_ONLY)
ATTACH 'sqlite.db' (TYPE sqlite)
INSTALL httpfs
FORCE INSTALL httpfs
INSTALL httpfs FROM 'https://example.invalid'
LOAD httpfs
LOAD 'stolen.duckdb_extension'
UPDATE EXTENSIONS
CREATE SECRET (TYPE s3)
FROM st_read('secret.csv')
""".strip().splitlines()
"""They fail."""

SETTINGS = """
SET threads = 8
SET GLOBAL memory_limit = '1TB'
SET temp_directory = 'stolen'
SET lock_configuration = false
SET enable_external_access = true
SET disabled_filesystems = ''
SET allowed_paths = ['/etc/passwd']
SET allowed_directories = ['/']
SET python_enable_replacements = true
SET TimeZone = 'Asia/Tokyo'
SET home_directory = '/'
SET extension_directory = 'stolen'
RESET memory_limit
RESET disabled_filesystems
PRAGMA threads = 8
PRAGMA memory_limit = '1TB'
PRAGMA enable_profiling
CALL enable_logging()
""".strip().splitlines()
"""They fail as well."""

ALL = [*WRITES, *READS, *SETTINGS]
