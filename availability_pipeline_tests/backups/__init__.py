"""Tests of `availability_pipeline.backups`."""
