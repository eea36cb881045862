"""Tests of the working database."""
