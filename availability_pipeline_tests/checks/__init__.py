"""The checks in real runs: what they look at, what they keep from readers, and what Dagster records of them."""
