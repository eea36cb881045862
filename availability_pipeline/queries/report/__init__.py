"""The report: what is published, as one page."""
