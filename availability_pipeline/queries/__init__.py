"""The questions to a published database, and their results."""
