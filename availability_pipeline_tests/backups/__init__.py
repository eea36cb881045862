"""Tests of `availability_pipeline.warehouse`."""
