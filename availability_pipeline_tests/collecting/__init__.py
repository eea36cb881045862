"""Tests of `availability_pipeline.collecting`."""
