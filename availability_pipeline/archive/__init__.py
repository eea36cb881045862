"""The source: Binance's public archive and exchangeInfo, as typed answers in bytes and UTC.

Everything that talks HTTP lives here and nowhere else. Nothing here knows Dagster or DuckDB.
"""
