"""The checks as functions over a connection: each on tables in which the answer is known."""
