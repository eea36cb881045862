"""One SELECT of the user's own: what it may do, and all that it must not."""
