"""Tests of `availability_pipeline.lifecycle`."""
