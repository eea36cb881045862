"""A package's source, parsed, and where its names lead: constants, variables, functions' results and their callers.

Nothing is imported, and nothing is known of what the source is about.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def name_of(node: ast.AST) -> str:
    """The last part of a name, or nothing."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class Sources:
    """The modules of a package, by path within it."""

    def __init__(self, root: Path, left_out: tuple[str, ...] = ()) -> None:
        self.root = root
        paths = {str(path.relative_to(root)): path for path in sorted(root.rglob("*.py"))}
        self.modules = {
            name: Source(name, ast.parse(path.read_text("utf-8")), self)
            for name, path in paths.items()
            if not name.startswith(left_out)
        }


class Source:
    """One module."""

    def __init__(self, name: str, tree: ast.Module, package: Sources) -> None:
        self.name, self.tree, self._package = name, tree, package
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.constants: dict[str, ast.expr] = {}
        self._imports: dict[str, tuple[str, str]] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.constants.update({name_of(target): node.value for target in targets})
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package.root.name):
                path = "/".join((node.module or "").split(".")[1:])
                self._imports.update({alias.asname or alias.name: (path, alias.name) for alias in node.names})

    def imported(self, name: str) -> Source | None:
        """The module that a name is imported from, or that it is."""
        path, original = self._imports.get(name, ("", ""))
        places = (f"{path}/{original}.py".lstrip("/"), f"{path}.py", f"{path}/__init__.py")
        modules = self._package.modules
        return next((modules[place] for place in places if place in modules), None)

    def constant(self, node: ast.Name | ast.Attribute) -> tuple[Source, ast.expr] | None:
        """The value of a constant of this or another module, and the module."""
        if isinstance(node, ast.Attribute):
            owner = self.imported(name_of(node.value))
        else:
            owner = self if node.id in self.constants else self.imported(node.id)
        value = owner.constants.get(name_of(node)) if owner else None
        return (owner, value) if owner and value else None

    def assigned(self, name: ast.Name) -> list[ast.expr]:
        """What a variable is given: by the last assignment before it in its block, else by all of its function."""
        found = [
            node
            for node in ast.walk(self._function_of(name) or ast.Module([], []))
            if isinstance(node, ast.Assign | ast.NamedExpr)
            and name.id in map(name_of, node.targets if isinstance(node, ast.Assign) else [node.target])
        ]
        block = self._parents.get(self._statement_of(name))
        before = [node for node in found if self._parents[node] is block and _place(node) < _place(name)]
        return [node.value for node in (before[-1:] or found)]

    def _statement_of(self, node: ast.AST) -> ast.AST:
        while not isinstance(node, ast.stmt) and node in self._parents:
            node = self._parents[node]
        return node

    def _function_of(self, node: ast.AST) -> ast.FunctionDef | None:
        while node in self._parents and not isinstance(node, ast.FunctionDef):
            node = self._parents[node]
        return node if isinstance(node, ast.FunctionDef) else None

    def returned(self, call: ast.Call) -> tuple[Source, list[ast.expr]]:
        """What a function of the package gives back, and its module; nothing if it is none."""
        name = name_of(call.func)
        module = (self.imported(name) if isinstance(call.func, ast.Name) else None) or self
        functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
        return module, [
            node.value
            for function in functions
            if function.name == name
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and node.value
        ]

    def given(self, name: ast.Name) -> list[tuple[Source, ast.expr]] | None:
        """What those who call the function that a name stands in give for it; None if it is no parameter."""
        function = self._function_of(name)
        names = [argument.arg for argument in function.args.args] if function else []
        if function is None or name.id not in names:
            return None
        position = names.index(name.id) - (names[0] == "self")
        return [
            (module, argument)
            for module in self._package.modules.values()
            if module is self or module.imported(function.name) is self
            for call in module._calls(function.name)
            if (argument := _argument(call, name.id, position))
        ]

    def _calls(self, name: str) -> Iterator[ast.Call]:
        calls = (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))
        return (call for call in calls if name_of(call.func) == name)

    def catches(self, name: str) -> bool:
        """Whether an exception is caught under this name."""
        return any(isinstance(node, ast.ExceptHandler) and node.name == name for node in ast.walk(self.tree))


def _argument(call: ast.Call, name: str, position: int) -> ast.expr | None:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    return named.get(name) or (call.args[position] if position < len(call.args) else None)


def _place(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset
