"""Documents that say what the data looks like, compared with the data."""
