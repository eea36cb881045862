"""Tests of the archive side."""
