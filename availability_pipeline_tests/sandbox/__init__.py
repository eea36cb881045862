"""One SELECT of a stranger's making: what it may do, and all that it must not."""
