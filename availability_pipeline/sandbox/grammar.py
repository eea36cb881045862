"""What a query may be made of, told from DuckDB's own parse of it.

DuckDB 2.0 calls a statement a SELECT that writes in its WITH clause, and lets a FROM clause call functions that change
settings or read memory addresses. So relations and table functions are those that are known to be harmless, and no
others. No files, no processes and no connections of our own here: the parse is handed in.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

TABLE_FUNCTIONS = {
    "generate_series", "generate_subscripts", "histogram", "histogram_values", "json_each", "json_tree", "range",
    "regexp_split_to_table", "repeat", "repeat_row", "unnest",
}  # fmt: skip
"""What may be called in a FROM clause; all of them work on their arguments only."""

FORBIDDEN_FUNCTIONS = {
    "combine", "current_connection_id", "current_setting", "finalize", "getenv", "getvariable", "json_serialize_plan",
    "nextval", "setseed", "setval", "stats", "to_aggregate_state", "variant_bytes_to_variant", "vector_type",
    "write_log",
}  # fmt: skip
"""They tell of the machine, change something, or take raw bytes for the inside of DuckDB."""

LONGEST_MESSAGE = 300
"""Characters of a parser's message that are repeated; it may have the whole query in it."""

_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

_REFERENCES = {
    "BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION",
}  # fmt: skip

_SHOWN = ("", '"tables"')
"""What SHOW may be about: a query or the relations."""

_PLACES = {"published", "main"}

Node = dict[str, Any]


class Refused(Exception):
    """The query is none that is run; the message is a sentence."""


def check(parsed: str, relations: Collection[str], duckdbs: Collection[str]) -> None:
    """Pass if the query only reads the relations.

    Args:
        parsed: What `json_serialize_sql` gives for the query.
        relations: The names of the published database's relations, in lower case.
        duckdbs: The names of DuckDB's own views, likewise.

    Raises:
        Refused: It does something else, or is no query.
    """
    try:
        tree = json.loads(parsed)
    except RecursionError:
        raise Refused("the query is nested too deeply; take it apart with WITH") from None
    if tree["error"]:
        raise Refused(_parser_error(tree))
    if (count := len(tree["statements"])) != 1:
        raise Refused(
            f"one SELECT is run at a time, and this is {f'{count} statements' if count else 'none'}"
        )
    nodes = list(_nodes(tree["statements"]))
    named = set(_names_of_ctes(nodes))
    if taken := named.intersection(duckdbs):
        # Within its own definition it would still be DuckDB's.
        raise Refused(f"{min(taken)} is a view of DuckDB's own; use another name in WITH")
    known = {*relations, *named}
    for node in nodes:
        _check_node(node, known)


def _parser_error(tree: Node) -> str:
    if tree["error_type"] == "not implemented" and "Only SELECT" in tree["error_message"]:
        return "only a SELECT is run here (a PIVOT needs its values in IN); change data through the pipeline"
    message = " ".join(tree["error_message"].split())
    shown = message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…"
    return f"the query is not understood ({shown})"


def _nodes(tree: object) -> Iterator[Node]:
    """All objects of a parse, in no order; without recursion, because queries may be nested deeply."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _names_of_ctes(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if "cte_map" in node:
            yield from (cte["key"].lower() for cte in node["cte_map"]["map"])
        if node.get("type") == "RECURSIVE_CTE_NODE":
            yield node["cte_name"].lower()


def _check_node(node: Node, known: Collection[str]) -> None:
    kind = node.get("type")
    if node.get("class") == "FUNCTION":
        _check_function(node["function_name"])
    elif "cte_map" in node or str(kind).endswith("_NODE"):
        if kind not in _NODES:
            verb = str(kind).removesuffix("_NODE").removesuffix("_QUERY")
            raise Refused(f"only reading is allowed here, and the query has {verb} in it")
    elif "sample" in node and "class" not in node:
        _check_reference(node, str(kind), known)


def _check_function(name: str) -> None:
    if name.lower() in FORBIDDEN_FUNCTIONS or name.startswith("__internal"):
        raise Refused(f"the function {name} is not allowed here")


def _check_reference(node: Node, kind: str, known: Collection[str]) -> None:
    if kind not in _REFERENCES:
        raise Refused(f"{kind.replace('_', ' ')} is not allowed in a FROM clause here")
    if kind == "TABLE_FUNCTION":
        name = node["function"]["function_name"]
        if name.lower() not in TABLE_FUNCTIONS:
            raise Refused(f"{name}() is not allowed in a FROM clause here")
    elif kind == "BASE_TABLE":
        *places, name = node["qualified_name"]["path"]
        if name.lower() not in known or not _PLACES.issuperset(place.lower() for place in places):
            shown = ".".join((*places, name))
            raise Refused(f"the published database has no relation {shown}; SHOW TABLES lists what it has")
    elif kind == "SHOW_REF" and node["table_name"] not in _SHOWN:
        raise Refused("SHOW tells of the relations only; write SHOW TABLES or DESCRIBE and a relation's name")
