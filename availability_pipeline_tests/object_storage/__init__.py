"""Tests of `availability_pipeline.object_storage`, against moto's server."""
