"""The messages that the package can end with, read from its source: the text of each error, `…` for what varies.

Nothing is imported. An expression that is a whole message is followed to where its text comes from: a constant, a
variable, a function's results, or the arguments of those who call. Inside a message, constants of a module are put in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FIELD = "…"
"""What stands for everything that varies."""

SAME_AS = {"Refused": "UsageError", "_Failure": "AvailabilityError"}
"""Errors that are not in errors.py, and the class of those that users see for them: the query of `query sql` that is
none that is run, and what the command line says of its own standard output."""

LEFT_OUT = ("simulator/",)
"""The simulated archive is a tool for tests and the demo; its messages are for those who write tests."""


@dataclass(frozen=True)
class Message:
    """One text that users can meet."""

    kind: str
    """The class of errors.py."""
    text: str
    """Only `…` where it comes from elsewhere in whole."""
    place: str
    """File and line."""
    source: str
    """The expression there."""


_Text = tuple[str, str, str]
"""A text, its place and its source."""


def normal(text: str) -> str:
    """A message with what varies, however many fields of it, as one `…`, and one space between words."""
    return re.sub(rf"{FIELD}({FIELD})+", FIELD, " ".join(text.split()))


class Package:
    """The modules of a package, parsed."""

    def __init__(self, root: Path, left_out: tuple[str, ...] = LEFT_OUT) -> None:
        self.root = root
        paths = {str(path.relative_to(root)): path for path in sorted(root.rglob("*.py"))}
        self.modules = {
            name: _Module(name, ast.parse(path.read_text("utf-8")), self)
            for name, path in paths.items()
            if not name.startswith(left_out)
        }

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes of errors.py, from the root of the tree on."""
        return {
            node.name: node for node in self.modules["errors.py"].tree.body if isinstance(node, ast.ClassDef)
        }

    def messages(self) -> list[Message]:
        """All messages, in the order of files and lines."""
        return [message for module in self.modules.values() for message in module.messages()]

    def takes_its_message(self, kind: str) -> bool:
        """Whether the first argument of a class is its message, as that of the nearest `__init__` is a text."""
        node: ast.ClassDef | None = self.classes.get(SAME_AS.get(kind, kind))
        while node is not None:
            for found in node.body:
                if isinstance(found, ast.FunctionDef) and found.name == "__init__":
                    annotation = found.args.args[1].annotation
                    return isinstance(annotation, ast.Name) and annotation.id == "str"
            node = next((self.classes[base] for base in map(_name, node.bases) if base in self.classes), None)
        return True


class _Module:
    """One module, and where its names lead."""

    def __init__(self, name: str, tree: ast.Module, package: Package) -> None:
        self.name, self.tree, self.package = name, tree, package
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.constants: dict[str, ast.expr] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.constants.update({_name(target): node.value for target in targets})
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package.root.name):
                path = "/".join((node.module or "").split(".")[1:])
                self.imports.update({alias.asname or alias.name: (path, alias.name) for alias in node.names})

    def messages(self) -> Iterator[Message]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                for kind, argument in self._raised(node):
                    if self.package.takes_its_message(kind):
                        for text, place, source in sorted(self.texts(argument)):
                            yield Message(SAME_AS.get(kind, kind), text, place, source)
            elif isinstance(node, ast.ClassDef) and self.name == "errors.py":
                yield from self._built_in(node)

    def _built_in(self, node: ast.ClassDef) -> Iterator[Message]:
        """The message of a class that makes it of something else than a text."""
        if not self.package.takes_its_message(node.name):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                    yield Message(node.name, *self._text(call.args[0]))

    def _raised(self, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
        """The classes that a call makes an error of, and the argument that is the message."""
        if ast.unparse(call.func) == "warnings.warn" and len(call.args) > 1:
            if (kind := _name(call.args[1])) in self.package.classes:
                yield kind, call.args[0]
            return
        for kind in self._kinds(call.func) if call.args else ():
            yield kind, call.args[0]

    def _kinds(self, callee: ast.expr) -> Iterator[str]:
        if isinstance(callee, ast.IfExp):
            yield from self._kinds(callee.body)
            yield from self._kinds(callee.orelse)
        elif (
            isinstance(callee, ast.Call) and _name(callee.func) == "type" and self._is_caught(callee.args[0])
        ):
            yield "AvailabilityError"  # whatever it was, it is made again
        elif (name := _name(callee)) in self.package.classes or name in SAME_AS:
            yield name
        elif isinstance(callee, ast.Name):
            for value in self._assigned(callee):
                if isinstance(value, ast.IfExp | ast.Name):
                    yield from self._kinds(value)

    def _is_caught(self, node: ast.expr) -> bool:
        handlers = (one for one in ast.walk(self.tree) if isinstance(one, ast.ExceptHandler))
        return any(handler.name == _name(node) for handler in handlers)

    def texts(self, node: ast.expr, seen: tuple[ast.AST, ...] = ()) -> set[_Text]:
        """All texts that an expression can be."""
        if node in seen:
            return set()
        seen = (*seen, node)
        parts: list[ast.expr] = []
        module: _Module = self
        if isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        elif isinstance(node, ast.Constant) and node.value is None:
            return set()
        elif isinstance(node, ast.Name) and node.id not in self.constants:
            parts = self._assigned(node)
            if not parts:
                return self._texts_of_callers(node, seen)
        elif isinstance(node, ast.Call):
            module, parts = self._returned(node)
        if not parts:
            return {self._text(node)}
        return {text for part in parts for text in module.texts(part, seen)}

    def _text(self, node: ast.expr) -> _Text:
        return (
            normal(self.text(node)),
            f"{self.package.root.name}/{self.name}:{node.lineno}",
            ast.unparse(node),
        )

    def text(self, node: ast.expr) -> str:
        """An expression as one text, with `…` for what varies."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else FIELD
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.FormattedValue) else part for part in node.values)
            return "".join(map(self.text, parts))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.text(node.left) + self.text(node.right)
        if isinstance(node, ast.Name | ast.Attribute):
            return self._text_of_name(node)
        return FIELD

    def _text_of_name(self, node: ast.Name | ast.Attribute) -> str:
        """The text of a constant of some module, or of a variable that is given one text."""
        if isinstance(node, ast.Attribute):
            owner = self._imported(_name(node.value))
        else:
            owner = self if node.id in self.constants else self._imported(node.id)
        if owner and (name := _name(node)) in owner.constants:
            return owner.text(owner.constants[name])
        values = self._assigned(node) if isinstance(node, ast.Name) else []
        return self.text(values[0]) if len(values) == 1 and isinstance(values[0], ast.JoinedStr) else FIELD

    def _imported(self, name: str) -> _Module | None:
        """The module that a name is imported from, or that it is."""
        path, original = self.imports.get(name, ("", ""))
        places = (f"{path}/{original}.py".lstrip("/"), f"{path}.py", f"{path}/__init__.py")
        return next((self.package.modules[place] for place in places if place in self.package.modules), None)

    def _function_of(self, node: ast.AST) -> ast.FunctionDef | None:
        while node in self.parents and not isinstance(node, ast.FunctionDef):
            node = self.parents[node]
        return node if isinstance(node, ast.FunctionDef) else None

    def _assigned(self, name: ast.Name) -> list[ast.expr]:
        """What a variable is given: by the last assignment before it in its block, else by all of its function."""
        function = self._function_of(name)
        found = [
            node
            for node in ast.walk(function or ast.Module([], []))
            if isinstance(node, ast.Assign | ast.NamedExpr)
            and name.id in map(_name, node.targets if isinstance(node, ast.Assign) else [node.target])
        ]
        blocks = set(self._blocks_of(name))
        before = [node for node in found if self.parents[node] in blocks and _place(node) < _place(name)]
        return [node.value for node in (before[-1:] or found)]

    def _blocks_of(self, node: ast.AST) -> Iterator[ast.AST]:
        """The statement that has the one in it which a name is in."""
        while node in self.parents:
            if isinstance(node, ast.stmt):
                yield self.parents[node]
                return
            node = self.parents[node]

    def _returned(self, call: ast.Call) -> tuple[_Module, list[ast.expr]]:
        """What a function of the package gives back, and its module; nothing if it is none."""
        name = _name(call.func)
        other = self._imported(name) if isinstance(call.func, ast.Name) else None
        module = other or self
        results = [
            node.value
            for function in module._functions(name)
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and node.value
        ]
        return module, results

    def _functions(self, name: str) -> list[ast.FunctionDef]:
        return [
            node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef) and node.name == name
        ]

    def _texts_of_callers(self, name: ast.Name, seen: tuple[ast.AST, ...]) -> set[_Text]:
        """What those who call the function that a name stands in give for it, if it is one of its parameters."""
        function = self._function_of(name)
        names = [argument.arg for argument in function.args.args] if function else []
        if function is None or name.id not in names:
            return {self._text(name)}
        others = self.package.modules.values()
        return {
            text
            for module in others
            for call in module._calls(function.name, self)
            if (given := _argument(call, name.id, [n for n in names if n != "self"])) is not None
            for text in module.texts(given, seen)
        }

    def _calls(self, name: str, owner: _Module) -> Iterator[ast.Call]:
        """Calls of another module's function here."""
        if self is owner or self._imported(name) is owner:
            for node in ast.walk(self.tree):
                if isinstance(node, ast.Call) and _name(node.func) == name:
                    yield node


def _argument(call: ast.Call, name: str, names: list[str]) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    position = names.index(name)
    return call.args[position] if position < len(call.args) else None


def _name(node: ast.AST) -> str:
    """The last part of a name, or nothing."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _place(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset
