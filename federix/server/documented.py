"""Reads from the code what its documentation says: names, signatures as they are written, docstrings, attributes.

Nothing is imported for it. A name is followed from the file that offers it to the one that defines it.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

#: Where the package lies.
ROOT: Final = Path(__file__).resolve().parents[2]

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Documented:
    """Something with a name, and what is said about it."""

    name: str
    #: module, class, function, value; among the members of a class also method, attribute.
    kind: str
    #: As it is written: ``send(stanza: Stanza) -> None``, ``BYTES: Codec[bytes]``. Empty for a module.
    declaration: str
    doc: str
    #: The file it is defined in, from `ROOT`.
    source: str = ""
    members: tuple[Documented, ...] = ()
    #: Names of the base classes, as they are written.
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file, read."""

    path: Path
    tree: ast.Module
    lines: list[str]

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def above(self, node: ast.stmt) -> str:
        """The ``#:`` comment over a statement, or the XEP whose number stands behind it: ``# 0115``."""
        if behind := re.search(r"  # (\d{4})$", self.lines[node.lineno - 1]):
            return f"XEP-{behind[1]}"
        found: list[str] = []
        number = node.lineno - 2
        while number >= 0 and (line := self.lines[number].strip()).startswith("#:"):
            found.insert(0, line[2:].strip())
            number -= 1
        return " ".join(found)


@cache
def read(path: Path) -> Source:
    """The file at *path*."""
    text = path.read_text()
    return Source(path, ast.parse(text), text.splitlines())


def find(path: Path, name: str) -> Documented:
    """What *name* is, in the file that defines it; raises KeyError where the file at *path* knows no such name."""
    source = read(path)
    for node, doc in _definitions(source, source.tree.body):
        if name in _names(node):
            return _described(source, node, name, doc)
    for node in source.tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _imported(path, node, alias.name, name)
    raise KeyError(f"{source.name} has no {name}")


def _imported(path: Path, node: ast.ImportFrom, original: str, name: str) -> Documented:
    folder = ROOT
    if node.level:
        folder = path.parents[node.level - 1]
    target = folder.joinpath(*(node.module or "").split("."))
    file = target.with_suffix(".py")
    try:
        found = find(file if file.exists() else target / "__init__.py", original)
    except KeyError:
        return _module(read(target / f"{original}.py"), name)
    return found if original == name else replace(found, name=name, declaration=name)


def _module(source: Source, name: str) -> Documented:
    members = [
        _described(source, node, each, doc)
        for node, doc in _definitions(source, source.tree.body)
        for each in _names(node)
        if not each.startswith("_") and not _is_type_variable(node)
    ]
    return Documented(name, "module", "", ast.get_docstring(source.tree) or "", source.name, tuple(members))


def _is_type_variable(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign) else None
    return (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("TypeVar", "ParamSpec")
    )


def _definitions(source: Source, body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """What *body* defines, with its documentation."""
    for place, node in enumerate(body):
        if isinstance(node, _Function | ast.ClassDef):
            yield node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            behind = body[place + 1] if place + 1 < len(body) else None
            doc = source.above(node)
            if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
                doc = doc or inspect.cleandoc(str(behind.value.value))
            yield node, doc


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, _Function | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _described(source: Source, node: ast.stmt, name: str, doc: str) -> Documented:
    if isinstance(node, _Function):
        return Documented(name, "function", _signature(node, skip=0), doc, source.name)
    if isinstance(node, ast.ClassDef):
        bases = tuple(ast.unparse(base) for base in node.bases)
        begin = _method(node, "__init__")
        if begin is not None:
            doc = f"{doc}\n\n{ast.get_docstring(begin) or ''}".rstrip()
        known = {each.name: each.doc for base in node.bases for each in _near(source, base)}
        members = tuple(replace(each, doc=each.doc or known.get(each.name, "")) for each in _members(source, node))
        return Documented(name, "class", _constructor(node, members), doc, source.name, members, bases)
    return Documented(name, "value", _value(node, name), doc, source.name)


def _near(source: Source, base: ast.expr) -> tuple[Documented, ...]:
    """The members of a base class in the same file, which may say what its subclasses need not say again."""
    name = ast.unparse(base).partition("[")[0]
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _described(source, node, name, "").members
    return ()


def _value(node: ast.stmt, name: str) -> str:
    if isinstance(node, ast.AnnAssign):
        kind = ast.unparse(node.annotation)
        shown = node.value is not None and kind in ("Final", "TypeAlias")
        return f"{name} = {ast.unparse(node.value)}" if shown and node.value else f"{name}: {kind}"
    assert isinstance(node, ast.Assign)
    return f"{name} = {ast.unparse(node.value)}"


# -- functions --------------------------------------------------------------------------------------------------------


def _signature(node: _Function, *, skip: int, name: str = "") -> str:
    """``name(arguments) -> result``, without the first *skip* arguments."""
    result = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    waits = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{waits}{name or node.name}({', '.join(_arguments(node.args)[skip:])}){result}"


def _arguments(given: ast.arguments) -> list[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    found = [_argument(each, default) for each, default in zip(plain, defaults, strict=True)]
    if given.posonlyargs:
        found.insert(len(given.posonlyargs), "/")
    if given.vararg is not None:
        found.append(f"*{_argument(given.vararg)}")
    elif given.kwonlyargs:
        found.append("*")
    found += [_argument(each, default) for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg is not None:
        found.append(f"**{_argument(given.kwarg)}")
    return found


def _argument(given: ast.arg, default: ast.expr | None = None) -> str:
    text = given.arg if given.annotation is None else f"{given.arg}: {ast.unparse(given.annotation)}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _decorators(node: _Function) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


# -- classes ----------------------------------------------------------------------------------------------------------


def _method(node: ast.ClassDef, name: str) -> _Function | None:
    return next((each for each in node.body if isinstance(each, _Function) and each.name == name), None)


def _constructor(node: ast.ClassDef, members: tuple[Documented, ...]) -> str:
    """How one is made, where others make them."""
    begin = _method(node, "__init__")
    bases = {ast.unparse(base) for base in node.bases}
    if bases & {"Protocol", "ABC", "Enum", "StrEnum", "IntEnum"}:
        return node.name
    if begin is not None:
        return _signature(begin, skip=1, name=node.name).removesuffix(" -> None")
    dataclass_like = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    if dataclass_like or any(base.startswith("NamedTuple") for base in bases):
        fields = [
            _argument(ast.arg(each.target.id, each.annotation), each.value)
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
        return f"{node.name}({', '.join(fields)})"
    return node.name


def _members(source: Source, node: ast.ClassDef) -> Iterator[Documented]:
    """The public members in the order of the file, without those in camelCase: it is Twisted that calls them."""
    seen: set[str] = set()
    for each, doc in _definitions(source, node.body):
        for name in _names(each):
            hidden = name.startswith("_") and not (name.startswith("__") and doc)
            if name != "__init__" and (name in seen or hidden or _is_camel(name)):
                continue
            seen.add(name)
            if isinstance(each, ast.ClassDef):
                yield Documented(name, "attribute", name, doc)
            elif isinstance(each, _Function):
                if name == "__init__":
                    yield from (found for found in _given(source, each) if found.name not in seen)
                elif "overload" not in _decorators(each):
                    yield _member(each, node.name, doc)
            else:
                yield Documented(name, "attribute", _value(each, name), doc)


def _is_camel(name: str) -> bool:
    return not name.isupper() and any(letter.isupper() for letter in name[1:])


def _member(node: _Function, owner: str, doc: str) -> Documented:
    marks = _decorators(node)
    if marks & {"property", "cached_property"}:
        result = "" if node.returns is None else f": {ast.unparse(node.returns)}"
        return Documented(node.name, "attribute", f"{node.name}{result}", doc)
    skip = 0 if "staticmethod" in marks else 1
    name = f"{owner}.{node.name}" if marks & {"classmethod", "staticmethod"} else node.name
    return Documented(node.name, "method", _signature(node, skip=skip, name=name), doc)


def _given(source: Source, begin: _Function) -> Iterator[Documented]:
    """The attributes that a class gives to each of its objects."""
    arguments = [*begin.args.args, *begin.args.kwonlyargs]
    types = {each.arg: ast.unparse(each.annotation) for each in arguments if each.annotation is not None}
    for node in begin.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(target, ast.Attribute):
            continue
        if target.attr.startswith("_") or ast.unparse(target.value) != "self":
            continue
        kind = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else _type_of(node.value, types)
        yield Documented(
            target.attr, "attribute", f"{target.attr}: {kind}" if kind else target.attr, source.above(node)
        )


def _type_of(value: ast.expr, types: dict[str, str]) -> str:
    """What can be said of a type without running anything: that of an argument, a class that is called, a constant."""
    if isinstance(value, ast.Name):
        return types.get(value.id, "")
    if isinstance(value, ast.Constant) and value.value is not None:
        return type(value.value).__name__
    if isinstance(value, ast.BoolOp):
        return _type_of(value.values[-1], types)
    called = value.func if isinstance(value, ast.Call) else None
    return called.id if isinstance(called, ast.Name) and called.id[0].isupper() else ""
