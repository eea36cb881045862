"""Tests of `availability_pipeline.defs`: definitions, runs on real instances, the daemon, the UI."""
