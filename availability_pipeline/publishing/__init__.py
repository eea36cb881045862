"""Releases: audited copies of the working database for readers, here and in object storage."""
