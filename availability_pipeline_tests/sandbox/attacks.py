"""Queries that must not run: each does, or tries, something that is not reading the published database."""

from __future__ import annotations

STATEMENTS = """
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
CREATE TABLE memory.main.t AS SELECT 1
CREATE TEMP TABLE t (i INTEGER)
CREATE OR REPLACE VIEW daily_availability AS SELECT 1
CREATE TEMP VIEW v AS SELECT 1
CREATE TEMP MACRO f() AS 1
CREATE SEQUENCE s
CREATE TYPE t AS ENUM ('a')
CREATE SCHEMA s
CREATE SECRET (TYPE s3)
CREATE PERSISTENT SECRET (TYPE s3)
ATTACH 'stolen.duckdb'
ATTACH ':memory:' AS other
DETACH published
USE memory
COPY symbols TO 'stolen.csv'
COPY (SELECT 1) TO '/dev/stderr'
COPY symbols FROM 'secret.csv'
COPY FROM DATABASE published TO memory
EXPORT DATABASE 'stolen'
IMPORT DATABASE 'stolen'
INSTALL httpfs
LOAD httpfs
FORCE INSTALL httpfs
UPDATE EXTENSIONS
SET threads = 8
SET GLOBAL memory_limit = '1TB'
SET lock_configuration = false
SET enable_external_access = true
SET VARIABLE x = 1
RESET ALL
PRAGMA threads = 8
PRAGMA database_list
PRAGMA enable_profiling
CALL pragma_version()
CALL enable_logging()
CHECKPOINT
FORCE CHECKPOINT published
VACUUM
ANALYZE
BEGIN
PREPARE p AS SELECT 1
EXECUTE p
EXPLAIN ANALYZE CREATE TEMP TABLE t (i INTEGER)
EXPLAIN ANALYZE COPY symbols TO 'stolen.csv'
SELECT 1; SELECT 2
SELECT 1; DROP TABLE symbols
SELECT 1;; COPY symbols TO 'stolen.csv'
""".strip().splitlines()
"""Anything but one SELECT."""

WRITES_WITHIN = """
WITH a AS (INSERT INTO symbols SELECT * FROM symbols RETURNING *) SELECT * FROM a
WITH a AS (UPDATE symbols SET tracked = false RETURNING *) SELECT * FROM a
WITH a AS (DELETE FROM symbols RETURNING *) SELECT * FROM a
WITH a AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM a
WITH a AS (COPY symbols TO 'stolen.parquet' (FORMAT parquet)) SELECT 1
SELECT * FROM (WITH a AS (DELETE FROM symbols RETURNING *) SELECT * FROM a)
SELECT (WITH a AS (DELETE FROM symbols RETURNING 1 AS b) SELECT b FROM a)
SELECT 1 WHERE EXISTS (WITH a AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM a)
SELECT 1 UNION ALL (WITH a AS (DELETE FROM symbols RETURNING 1 AS b) SELECT b FROM a)
WITH a AS (WITH b AS (COPY (SELECT 1) TO 'stolen.csv') FROM b) FROM a
DESCRIBE WITH a AS (COPY (SELECT 1) TO 'stolen.csv') FROM a
SUMMARIZE WITH a AS (COPY (SELECT 1) TO 'stolen.csv') FROM a
FROM (PIVOT (WITH a AS (COPY (SELECT 1 AS x) TO 'stolen.csv') FROM a) ON Count IN (1) USING sum(Count))
""".strip().splitlines()
"""What DuckDB itself calls a SELECT, and what writes."""

READS_ELSEWHERE = """
FROM 'secret.csv'
FROM "secret.csv"
FROM 'secret.parquet'
FROM 'https://example.invalid/a.parquet'
FROM '/etc/passwd'
SUMMARIZE 'secret.csv'
DESCRIBE 'secret.csv'
FROM read_csv('secret.csv')
FROM read_csv_auto('secret.csv')
FROM sniff_csv('secret.csv')
FROM read_text('secret.csv')
FROM read_blob('/etc/passwd')
FROM read_json('secret.csv')
FROM read_ndjson_objects('secret.csv')
FROM read_parquet('secret.parquet')
FROM parquet_scan('https://example.invalid/a.parquet')
FROM parquet_metadata('secret.parquet')
FROM read_duckdb('other.duckdb')
FROM glob('*')
FROM read_text('/proc/self/environ')
SELECT (SELECT content FROM read_text('secret.csv'))
SELECT * FROM symbols, LATERAL (FROM read_text(symbol))
SELECT * FROM symbols JOIN READ_TEXT('secret.csv') ON true
SELECT * FROM symbols WHERE symbol IN (FROM glob('*'))
WITH secret AS (FROM read_text('secret.csv')) FROM secret
FROM query('FROM read_text(''secret.csv'')')
FROM query_table('symbols')
FROM query_table(['symbols', 'secret.csv'])
FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)
FROM pandas_scan(1::POINTER)
FROM python_map_function((SELECT 1), 1::POINTER)
FROM seq_scan('symbols')
FROM a_python_table
SELECT getenv('HOME')
SELECT getvariable('x')
SELECT current_setting('secret_directory')
SELECT Current_Setting('http_proxy_password')
SELECT main.current_setting('temp_directory')
FROM duckdb_settings()
FROM duckdb_settings
FROM main.duckdb_tables
FROM system.main.duckdb_settings
FROM duckdb_secrets()
FROM duckdb_databases()
FROM duckdb_extensions()
FROM duckdb_temporary_files()
FROM duckdb_logs()
FROM which_secret('s3://a', 's3')
FROM pragma_database_size()
FROM pragma_storage_info('symbols')
FROM information_schema.tables
FROM pg_catalog.pg_settings
FROM memory.main.t
FROM other.symbols
WITH duckdb_databases AS (FROM duckdb_databases) FROM duckdb_databases
WITH pg_settings AS (FROM main.pg_settings) FROM pg_settings
FROM "READ_TEXT"('secret.csv')
SELECT 'http_proxy_password'.current_setting()
SHOW memory_limit
SHOW ALL
DESCRIBE secret_directory
WITH memory_limit AS (SELECT 1) FROM (SHOW memory_limit)
SHOW DATABASES
SHOW ALL TABLES
FROM (SHOW ALL TABLES)
SHOW VARIABLES
""".strip().splitlines()
"""What is not in the published database."""

CHANGES_STATE = """
FROM enable_logging()
FROM enable_logging(storage = 'file', storage_path = 'stolen.csv')
FROM enable_profiling(save_location = 'stolen.json')
FROM checkpoint()
FROM force_checkpoint('published')
FROM truncate_duckdb_logs()
FROM create_external_resource('a')
FROM register_external_resource_type('a')
SELECT write_log('x')
SELECT setseed(0.5)
SELECT nextval('s')
SELECT list_transform([1], lambda x: write_log('x'))
SELECT finalize(to_aggregate_state('x'::BLOB))
SELECT __internal_decompress_string(1)
SELECT sum(1) FILTER (WHERE write_log('x') IS NULL)
SELECT count(*) OVER (ORDER BY write_log('x'))
""".strip().splitlines()
"""Functions that are no part of a question."""

ALL = [*STATEMENTS, *WRITES_WITHIN, *READS_ELSEWHERE, *CHANGES_STATE]
