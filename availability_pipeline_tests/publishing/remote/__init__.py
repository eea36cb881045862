"""Tests of `availability_pipeline.publishing.remote`, against moto's server."""
