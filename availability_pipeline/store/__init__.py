"""The working database: its schema, and the only code that reads and writes it.

Only the pipeline opens it, one process at a time; readers have the published copy (`publishing`). Arrow comes in,
plain values go out. Nothing here knows Dagster or HTTP.
"""
