"""Measurements of the pipeline against the simulated archive, always beside what it is compared with.

`python -m benchmarks` runs them all and prints the tables of docs/benchmarks.md. `tasks` is what is measured,
each in a process of its own; `runner` starts processes and reads their figures; `report` lays them out.
"""
