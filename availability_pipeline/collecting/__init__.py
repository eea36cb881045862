"""What a run does, as plain functions, and the process of a run."""
