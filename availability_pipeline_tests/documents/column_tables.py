"""The tables of columns in docs/reference/tables.md, from the types of the rows and what is written under their fields.

`python -m availability_pipeline_tests.documents.column_tables` writes them anew.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import get_args, get_type_hints

from availability_pipeline.catalogue import columns as catalogue
from availability_pipeline.queries import columns
from availability_pipeline_tests.dagster_side import root

PAGE = root() / "docs" / "reference" / "tables.md"
BEGIN, END = "<!-- columns: begin -->\n", "\n<!-- columns: end -->"


def tables() -> str:
    """The tables as they should be."""
    nodes = ast.parse(inspect.getsource(columns)).body
    classes = [_table(node) for node in nodes if isinstance(node, ast.ClassDef)]
    own = map(_table_of_catalogue, (catalogue.AvailabilityRow, catalogue.VolumeRow, catalogue.ContentsRow))
    return "\n\n".join("\n".join(table) for table in (*own, *classes))


def shown() -> str:
    """The tables as they are in the document."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    """Replace the tables of the document."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{tables()}{END}{rest.partition(END)[2]}", encoding="utf-8")


def _table_of_catalogue(row_type: type) -> Iterator[str]:
    """That of a table whose columns the catalogue defines."""
    yield from _heading(inspect.getdoc(row_type) or "")
    meanings = {column.name: column.meaning for column in catalogue.columns_of_row(row_type)}
    for name, hint in get_type_hints(row_type).items():
        kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
        kind = " or ".join([kinds[0].__name__, *(["None"] if len(get_args(hint)) else [])])
        yield f"| `{name}` | {kind} | {meanings[name]} |"


def _heading(text: str) -> Iterator[str]:
    sentence = text.split("\n", maxsplit=1)[0]
    yield from (f"### {sentence.rstrip('.')}", "", "| column | type | |", "|---|---|---|")


def _table(node: ast.ClassDef) -> Iterator[str]:
    yield from _heading(ast.get_docstring(node) or "")
    for field, text in pairwise(node.body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text, ast.Expr), f"{ast.unparse(field)} is not documented"
            assert isinstance(text.value, ast.Constant), f"{ast.unparse(field)} is not documented"
            kind = ast.unparse(field.annotation).replace("dt.", "").replace(" | ", " or ")
            meaning = " ".join(str(text.value.value).split()).replace("|", "\\|")
            yield f"| `{ast.unparse(field.target)}` | {kind} | {meaning} |"


if __name__ == "__main__":
    write()
