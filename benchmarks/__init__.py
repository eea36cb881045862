"""Measurements of the pipeline against the simulated archive, always beside what it is compared with.

`python -m benchmarks` runs those of the pipeline and prints the tables of docs/reference/benchmarks.md, `python -m
benchmarks.decisions` those that decisions rest on. `tasks`, `patterns`, `asking` and `storing` (with its `questions`)
are what is measured, each in a process of its own; `runner` starts processes and reads their figures, `report` prints.
"""
