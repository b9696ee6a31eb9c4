"""The codes that the code base can store: why a job or a step failed, why a step was skipped."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import generation_service
import workers
from generation_service.documents import parsing

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = Function | None

ERRORS = frozenset({"PermanentError", "TransientError", "Deferred", "JobError"})
SKIPS = frozenset({"StepOutcome"})
_NAMED = re.compile("|".join(ERRORS | SKIPS))
_NOT_IN_STEPS = frozenset({"cli"})  # its errors end a command, not a job
# What says its code with an expression that names none, and the codes it can be.
_TOLD = {"told['error']": frozenset(parsing._MESSAGES)}


@cache
def failure_codes() -> frozenset[str]:
    """Each code of an error that a step can raise, or that the core ends an attempt with."""
    return _found(ERRORS, "code")


@cache
def skip_reasons() -> frozenset[str]:
    """Each reason that a step is skipped with, without what follows its colon."""
    return frozenset(reason.partition(":")[0] for reason in _found(SKIPS, "reason"))


def _found(makers: frozenset[str], keyword: str) -> frozenset[str]:
    return frozenset(code for source in _sources() for code in source.said(makers, keyword))


@cache
def _sources() -> tuple["_Source", ...]:
    """The modules that name one of what says a code."""
    roots = [Path(str(package.__file__)).parent for package in (generation_service, workers)]
    paths = [path for root in roots for path in sorted(root.rglob("*.py")) if _is_in_steps(path.relative_to(root))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    return tuple(_Source(path, ast.parse(text)) for path, text in texts.items() if _NAMED.search(text))


def _is_in_steps(path: Path) -> bool:
    return path.parts[0] not in _NOT_IN_STEPS


@dataclass(frozen=True)
class _Source:
    """One module; an expression in it that cannot be followed to texts fails whoever asks."""

    path: Path
    tree: ast.Module

    def said(self, makers: frozenset[str], keyword: str) -> Iterator[str]:
        """The texts that are handed to `makers` first, or as `keyword`; those of classes that derive from them, too."""
        for scope, call in _calls(self.tree):
            if _name(call.func) in makers:
                named = [one.value for one in call.keywords if one.arg == keyword]
                for value in named or (call.args[:1] if keyword == "code" else ()):
                    yield from self._texts(value, scope)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef) and makers & {_name(base) for base in node.bases}:
                yield from _said_to_super(node)

    def _texts(self, value: ast.expr, scope: Scope) -> set[str]:
        """What an expression can be; nothing for the code of an error that is handed on."""
        found: Iterable[str] | None = _TOLD.get(ast.unparse(value))
        match value:
            case ast.Constant(value=str(text)) | ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
                found = {text}
            case ast.IfExp(body=one, orelse=other):
                found = self._texts(one, scope) | self._texts(other, scope)
            case ast.BoolOp(values=several):
                found = {text for one in several for text in self._texts(one, scope)}
            case ast.Starred(value=ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, default])):
                found = [*self._first_of_pairs(table), *self._first_of_pairs(default)]
            case ast.Attribute(attr="code"):
                found = ()
            case ast.Name(id=name) if scope is not None and name in _parameters(scope):
                found = {text for one, within in self._handed(scope, name) for text in self._texts(one, within)}
            case ast.Name(id=name):
                found = self._texts(self._assigned(name, scope), scope)
        assert found is not None, f"{self.path}:{value.lineno}: cannot tell what {ast.unparse(value)} is"
        return set(found)

    def _handed(self, scope: Function, name: str) -> Iterator[tuple[ast.expr, Scope]]:
        """What calls within the module hand to a function under a name, each with the function of the call."""
        place = _parameters(scope).index(name)
        for within, call in _calls(self.tree):
            if _name(call.func) == scope.name:
                named = [one.value for one in call.keywords if one.arg == name]
                yield from ((one, within) for one in named or call.args[place : place + 1])

    def _assigned(self, name: str, scope: Scope) -> ast.expr:
        """What is assigned to a name, in the function or else in the module."""
        for node in (*(ast.walk(scope) if scope else ()), *ast.walk(self.tree)):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                return node.value
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value is not None:
                return node.value
        raise AssertionError(f"{self.path}: nothing is assigned to {name}")

    def _first_of_pairs(self, table: ast.expr) -> Iterator[str]:
        """The first text of a pair that has a name, or of each pair in a dict that has one."""
        literal = ast.literal_eval(self._assigned(ast.unparse(table), None))
        yield from (pair[0] for pair in (literal.values() if isinstance(literal, dict) else [literal]))


def _calls(node: ast.AST, scope: Scope = None) -> Iterator[tuple[Scope, ast.Call]]:
    """The calls below a node, each with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield scope, child
        yield from _calls(child, child if isinstance(child, Function) else scope)


def _said_to_super(node: ast.ClassDef) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            yield from (one.value for one in call.args[:1] if isinstance(one, ast.Constant))


def _parameters(scope: Function) -> list[str]:
    return [one.arg for one in (*scope.args.args, *scope.args.kwonlyargs)]


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
