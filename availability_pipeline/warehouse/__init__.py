"""The working database: schema, connection, lock, writes, backups; atomic files."""
