"""The plot of the guide to universes: `python docs/guides/universe_plot.py` writes universe.svg beside this file.

It needs matplotlib, and reads the published database of the settings.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import matplotlib.pyplot as plt

from availability_pipeline import AvailabilityQueries

START = dt.date(2020, 1, 1)


def main() -> None:
    """Count contracts on the first day of each month in three ways, and draw the counts."""
    with AvailabilityQueries() as queries:
        last = queries.publication.last_file_day or queries.publication.data_through
        months = [
            dt.date(year, month, 1) for year in range(START.year, last.year + 1) for month in range(1, 13)
        ]
        months = [month for month in months if START <= month <= last]
        survivors = {row["symbol"] for row in queries.get_universe(last)}
        with_file = [len(queries.get_available_symbols_on_date(month)) for month in months]
        universes = [{row["symbol"] for row in queries.get_universe(month)} for month in months]
    plt.rcParams["svg.hashsalt"] = "universe"
    figure, axes = plt.subplots(figsize=(8, 4.5))
    axes.plot(months, with_file, label="contracts with a file", color="tab:red", linestyle="--")
    axes.plot(months, [len(found) for found in universes], label="universe as of the day", color="tab:blue")
    axes.plot(months, [len(found & survivors) for found in universes], label=f"of it, still traded on {last}",
              color="tab:gray", linestyle=":")  # fmt: skip
    axes.set_ylabel("contracts")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("universe.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
