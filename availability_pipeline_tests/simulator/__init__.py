"""Tests of the simulated archive: that it is one, and that it can be trusted as a stand-in."""
