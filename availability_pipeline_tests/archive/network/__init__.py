"""Tests of `network`: proxies, certificates and kept connections, with real ones on loopback."""
