"""Releases in object storage and over https."""
