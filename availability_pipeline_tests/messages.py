"""The messages that the package can end with, read from its source: the text of each error, `…` for what varies.

An expression that is a whole message is followed to where its text comes from: a constant, a variable, a function's
results, or the arguments of those who call. Inside a message, constants of a module are put in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from availability_pipeline_tests.source_tree import Source, Sources, name_of

FIELD = "…"
"""What stands for everything that varies."""

SAME_AS = {"Refused": "UsageError", "_Failure": "AvailabilityError"}
"""Errors that are not in errors.py, and the class of those that users see for them: a query of `query sql` that is none
that is run, and what the command line says of its own standard output."""

LEFT_OUT = ("simulator/",)
"""The simulated archive is a tool for tests and the demo; its messages are for those who write tests."""


@dataclass(frozen=True, order=True)
class Message:
    """One text that users can meet."""

    kind: str
    """The class of errors.py."""
    text: str
    """Only `…` where it comes from elsewhere in whole."""
    file: str
    line: int
    source: str
    """The expression there."""


def normal(text: str) -> str:
    """A message with what varies, however many fields of it, as one `…`, and one space between words."""
    return re.sub(rf"{FIELD}({FIELD})+", FIELD, " ".join(text.split()))


class Package:
    """A package with a module `errors`."""

    def __init__(self, root: Path) -> None:
        self._sources = Sources(root, LEFT_OUT)

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes of errors.py, from the root of the tree on."""
        body = self._sources.modules["errors.py"].tree.body
        return {node.name: node for node in body if isinstance(node, ast.ClassDef)}

    def messages(self) -> list[Message]:
        """All messages, by class and text."""
        modules = self._sources.modules.values()
        return sorted({message for module in modules for message in self._messages(module)})

    def _messages(self, module: Source) -> Iterator[Message]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                for kind, argument in self._made(module, node):
                    if self._takes_its_message(kind):
                        yield from self._followed(SAME_AS.get(kind, kind), module, argument)
            elif isinstance(node, ast.ClassDef) and self.classes.get(node.name) is node:
                yield from self._built_in(module, node)

    def _takes_its_message(self, kind: str) -> bool:
        """Whether the first argument of a class is its message, as that of the nearest `__init__` is a text."""
        node: ast.ClassDef | None = self.classes.get(SAME_AS.get(kind, kind))
        while node is not None:
            for found in node.body:
                if isinstance(found, ast.FunctionDef) and found.name == "__init__":
                    annotation = found.args.args[1].annotation
                    return isinstance(annotation, ast.Name) and annotation.id == "str"
            bases = [self.classes[base] for base in map(name_of, node.bases) if base in self.classes]
            node = bases[0] if bases else None
        return True

    def _built_in(self, module: Source, node: ast.ClassDef) -> Iterator[Message]:
        """The message of a class that makes it of something else than a text."""
        for call in () if self._takes_its_message(node.name) else ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                yield self._message(node.name, module, call.args[0])

    def _made(self, module: Source, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
        """The classes that a call makes an error or a warning of, and the argument that is the message."""
        if ast.unparse(call.func) == "warnings.warn" and len(call.args) > 1:
            if (kind := name_of(call.args[1])) in self.classes:
                yield kind, call.args[0]
        else:
            for kind in self._kinds(module, call.func) if call.args else ():
                yield kind, call.args[0]

    def _kinds(self, module: Source, callee: ast.expr) -> Iterator[str]:
        if isinstance(callee, ast.IfExp):
            yield from self._kinds(module, callee.body)
            yield from self._kinds(module, callee.orelse)
        elif isinstance(callee, ast.Call):
            if name_of(callee.func) == "type" and module.catches(name_of(callee.args[0])):
                yield "AvailabilityError"  # whatever it was, it is made again
        elif (name := name_of(callee)) in self.classes or name in SAME_AS:
            yield name
        elif isinstance(callee, ast.Name):
            for value in module.assigned(callee):
                if isinstance(value, ast.IfExp | ast.Name):
                    yield from self._kinds(module, value)

    def _followed(
        self, kind: str, module: Source, node: ast.expr, seen: tuple[ast.AST, ...] = ()
    ) -> Iterator[Message]:
        """All messages that an expression can be."""
        origins = [] if node in seen else list(self._origins(module, node))
        for owner, origin in origins:
            if origin is node:
                yield self._message(kind, owner, node)
            else:
                yield from self._followed(kind, owner, origin, (*seen, node))

    def _origins(self, module: Source, node: ast.expr) -> Iterator[tuple[Source, ast.expr]]:
        """Where an expression gets its text from; itself if that is not known or it has it."""
        found: list[tuple[Source, ast.expr]] | None = None
        if isinstance(node, ast.IfExp):
            found = [(module, node.body), (module, node.orelse)]
        elif isinstance(node, ast.Name) and node.id not in module.constants:
            found = [(module, value) for value in module.assigned(node)] or module.given(node)
        elif isinstance(node, ast.Call):
            owner, values = module.returned(node)
            found = [(owner, value) for value in values] or None
        elif isinstance(node, ast.Constant) and node.value is None:
            found = []
        yield from [(module, node)] if found is None else found

    def _message(self, kind: str, module: Source, node: ast.expr) -> Message:
        file = f"{self._sources.root.name}/{module.name}"
        return Message(kind, normal(self._text(module, node)), file, node.lineno, ast.unparse(node))

    def _text(self, module: Source, node: ast.expr) -> str:
        """An expression as one text, with `…` for what varies."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.FormattedValue) else part for part in node.values)
            return "".join(self._text(module, part) for part in parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._text(module, node.left) + self._text(module, node.right)
        if isinstance(node, ast.Name | ast.Attribute) and (constant := module.constant(node)):
            return self._text(*constant)
        values = module.assigned(node) if isinstance(node, ast.Name) else []
        return (
            self._text(module, values[0]) if [type(value) for value in values] == [ast.JoinedStr] else FIELD
        )
