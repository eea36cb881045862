"""The tables of columns in docs/reference/tables.md, from the types of the rows and what is written under their fields.

`python -m availability_pipeline_tests.documents.column_tables` writes them anew.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise

from availability_pipeline.queries import columns
from availability_pipeline_tests.dagster_side import root

PAGE = root() / "docs" / "reference" / "tables.md"
BEGIN, END = "<!-- columns: begin -->\n", "\n<!-- columns: end -->"


def tables() -> str:
    """The tables as they should be."""
    nodes = ast.parse(inspect.getsource(columns)).body
    return "\n\n".join("\n".join(_table(node)) for node in nodes if isinstance(node, ast.ClassDef))


def shown() -> str:
    """The tables as they are in the document."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    """Replace the tables of the document."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{tables()}{END}{rest.partition(END)[2]}", encoding="utf-8")


def _table(node: ast.ClassDef) -> Iterator[str]:
    sentence = (ast.get_docstring(node) or "").split("\n")[0]
    yield from (f"### {sentence.rstrip('.')}", "", "| column | type | |", "|---|---|---|")
    for field, text in pairwise(node.body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text, ast.Expr), f"{ast.unparse(field)} is not documented"
            assert isinstance(text.value, ast.Constant), f"{ast.unparse(field)} is not documented"
            kind = ast.unparse(field.annotation).replace("dt.", "").replace(" | ", " or ")
            meaning = " ".join(str(text.value.value).split()).replace("|", "\\|")
            yield f"| `{ast.unparse(field.target)}` | {kind} | {meaning} |"


if __name__ == "__main__":
    write()
