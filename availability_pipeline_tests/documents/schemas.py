"""The files of docs/schema, and real databases in the same terms, so that they can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import pairwise
from typing import Any

import duckdb
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from availability_pipeline.cli.output import plain
from availability_pipeline_tests.dagster_side import root

FOLDER = root() / "docs" / "schema"
ROWS = "rows.schema.json"
SAMPLE = 300
"""Rows of a large relation that are validated one by one."""

Schema = dict[str, Any]


@cache
def load(name: str) -> Schema:
    schema: Schema = json.loads((FOLDER / name).read_text("utf-8"))
    return schema


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.schema.json"))


WORKING, PUBLISHED = "working-database.schema.json", "published-database.schema.json"
FORMS: Schema = load(ROWS)["$defs"]
ROW_FORMS = {name: form for name, form in FORMS.items() if "properties" in form}


@cache
def _validator(place: str) -> Draft202012Validator:
    registry = Registry().with_resources((name, Resource.from_contents(load(name))) for name in names())
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator({"$ref": place}, registry=registry, format_checker=checker)


def problems(place: str, instance: object) -> list[str]:
    """What a schema has against something; a place is a file, or a file, `#` and a path within it."""
    return [f"{error.json_path}: {error.message}" for error in _validator(place).iter_errors(instance)]


def row_form(relation: Schema) -> Schema:
    """The schema of the rows of a relation."""
    return form(relation["items"]["$ref"])


def form(reference: str) -> Schema:
    file, _, place = reference.partition("#/$defs/")
    found: Schema = load(file)["$defs"][place]
    return found


def as_json(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows as the command line prints them."""
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def rows_of(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object] | None = None
) -> list[dict[str, object]]:
    result = connection.execute(query, dict(values or {}))
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def is_sorted(keys: list[tuple[object, ...]]) -> bool:
    return all(one < other for one, other in pairwise(keys))


def is_nullable(column: Schema) -> bool:
    return "null" in column["type"]


@dataclass
class Relation:
    """A table or view, as a schema describes it and as it is."""

    kind: str
    columns: list[str]
    """Names and types, in order."""
    not_null: set[str] = field(default_factory=set)
    primary_key: list[str] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """Constraints of other kinds, and indexes; none is documented."""


def documented(schema: Schema) -> dict[str, Relation]:
    """The relations of a database according to its schema."""
    return {
        name: Relation(
            relation["x-relation"],
            [
                f"{column} {each['x-duckdb-type']}"
                for column, each in row_form(relation)["properties"].items()
            ],
            set(relation.get("x-not-null", ())),
            relation.get("x-primary-key", []),
            relation.get("x-defaults", {}),
        )
        for name, relation in schema["properties"].items()
    }


_CATALOG = "database_name = current_database() AND NOT internal"


def existing(connection: duckdb.DuckDBPyConnection) -> dict[str, Relation]:
    """The relations of the current database."""
    tables = rows_of(connection, f"SELECT table_name AS name FROM duckdb_tables() WHERE {_CATALOG}")
    views = rows_of(connection, f"SELECT view_name AS name FROM duckdb_views() WHERE {_CATALOG}")
    found = {str(row["name"]): Relation("table", []) for row in tables}
    found |= {str(row["name"]): Relation("view", []) for row in views}
    for column in rows_of(connection, f"FROM duckdb_columns() WHERE {_CATALOG} ORDER BY column_index"):
        relation = found[str(column["table_name"])]
        relation.columns.append(f"{column['column_name']} {column['data_type']}")
        if column["column_default"] is not None:
            relation.defaults[str(column["column_name"])] = str(column["column_default"])
    _add_constraints(connection, found)
    return found


def _add_constraints(connection: duckdb.DuckDBPyConnection, found: dict[str, Relation]) -> None:
    here = "database_name = current_database()"
    for each in rows_of(connection, f"FROM duckdb_constraints() WHERE {here}"):
        relation, columns = found[str(each["table_name"])], each["constraint_column_names"]
        assert isinstance(columns, list)
        if each["constraint_type"] == "NOT NULL":
            relation.not_null |= set(columns)
        elif each["constraint_type"] == "PRIMARY KEY":
            relation.primary_key = columns
        else:
            relation.others.append(str(each["constraint_text"]))
    for index in rows_of(connection, f"SELECT table_name, sql FROM duckdb_indexes() WHERE {here}"):
        found[str(index["table_name"])].others.append(str(index["sql"]))


def differences(described: dict[str, Relation], found: dict[str, Relation]) -> Iterator[str]:
    """What is not documented, does not exist, or is otherwise than documented."""
    yield from (f"{name} is not documented" for name in found.keys() - described.keys())
    yield from (f"{name} does not exist" for name in described.keys() - found.keys())
    for name in described.keys() & found.keys():
        for part in fields(Relation):
            wanted, real = getattr(described[name], part.name), getattr(found[name], part.name)
            if wanted != real:
                yield f"{name}: {part.name} are {real}, documented {wanted}"
