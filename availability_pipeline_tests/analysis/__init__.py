"""Tests of `availability_pipeline.analysis`."""
