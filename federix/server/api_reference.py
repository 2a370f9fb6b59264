"""The reference of `federix.api`, written from the code: a page for each theme, and an index of all names.

What is said of a name is its docstring; what is shown of a theme is a program in ``examples/api``, which a test runs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from .api_themes import API, THEMES, Theme, explained
from .documented import ROOT, Documented, find

#: The programs that the pages show, by the name of the theme.
EXAMPLES: Final = ROOT / "examples" / "api"


def pages(note: str) -> Mapping[str, Callable[[], str]]:
    """What writes each page, by its path in ``docs``; *note* says under each title where it comes from."""
    found: dict[str, Callable[[], str]] = {"api/README.md": partial(_index, note)}
    found.update({f"api/{theme.page}.md": partial(_page, theme, note) for theme in THEMES})
    return found


def _index(note: str) -> str:
    parts = [
        f"# `federix.api`\n\n{note}The one import for those who write modules, and the only promise of stability: every"
        " name of it, by theme. How a module is written is told in [modules.md](../modules.md). What stands below a"
        " theme without being a name of `federix.api` is what one meets by way of the others, and imports from nowhere"
        " (but from `federix.testing`).\n\n"
    ]
    for theme in THEMES:
        parts.append(f"## [{theme.title}]({theme.page}.md)\n\n")
        anchors = _anchors(theme)
        for thing in explained(theme):
            link = f"{theme.page}.md#{anchors[thing.name]}"
            parts.append(f"- [{_title(theme, thing)}]({link}): {_first_sentence(thing)}\n")
        parts.append("\n")
    return "".join(parts)


def _page(theme: Theme, note: str) -> str:
    parts = [f"# {theme.title}\n\n{note}{theme.about}\n\n"]
    example = EXAMPLES / f"{theme.page}.py"
    if example.exists():
        parts.append(f"```python\n{example.read_text()}```\n\n")
    parts += [_section(theme, thing) for thing in explained(theme)]
    return "".join(parts)


def _anchors(theme: Theme) -> dict[str, str]:
    """The anchor of each name's heading: in small letters, and numbered where that makes two of them one."""
    found: dict[str, str] = {}
    for thing in explained(theme):
        anchor = thing.name.lower()
        times = sum(re.sub(r"-\d+$", "", known) == anchor for known in found.values())
        found[thing.name] = f"{anchor}-{times}" if times else anchor
    return found


def _title(theme: Theme, thing: Documented) -> str:
    """Written as code where it can be imported."""
    return f"`{thing.name}`" if thing.name in theme.names or theme.page == "testing" else thing.name


def _section(theme: Theme, thing: Documented) -> str:
    parts = [f"## {_title(theme, thing)}\n\n"]
    if thing.kind in ("class", "function") or (thing.kind == "value" and thing.declaration != thing.name):
        parts.append(_code(thing.kind, thing.declaration))
    if thing.doc:
        parts.append(f"{_text(thing.doc)}\n\n")
    if thing.name == "hooks":
        parts += [f"- [`{each.name}`](../hooks.md#{each.name}-{shape(each)}): `{handler(each)}`\n" for each in hooks()]
        parts.append("\n")
    elif thing.kind == "module":
        parts += _contents(thing)
    else:
        parts += _members(thing)
    parts.append(f"Defined in [`{thing.source}`](../../{thing.source}).\n\n")
    return "".join(parts)


def _code(kind: str, declaration: str) -> str:
    word = {"class": "class ", "function": "def "}.get(kind, "")
    if declaration.startswith("async "):
        declaration, word = declaration.removeprefix("async "), "async def "
    return f"```py\n{_folded(word + declaration)}\n```\n\n"


def _folded(line: str) -> str:
    """A long declaration with an argument on each line."""
    if len(line) <= 100 or not (found := re.fullmatch(r"([^(]*\()(.*)(\)[^)]*)", line)):
        return line
    arguments, depth, parts = found[2], 0, [""]
    for letter in arguments:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return "\n".join([found[1], *(f"    {part.strip()}," for part in parts), found[3]])


def _contents(module: Documented) -> Iterator[str]:
    """What a Python module offers."""
    values = [each for each in module.members if each.kind == "value"]
    if values:
        yield from (_item(each.declaration, each.doc) for each in values)
        yield "\n"
    for each in module.members:
        if each.kind != "value":
            yield f"### `{module.name}.{each.name}`\n\n{_code(each.kind, each.declaration)}"
            yield f"{_text(each.doc)}\n\n"
            yield from _members(each)


def _members(thing: Documented) -> Iterator[str]:
    if thing.bases and thing.bases[0] in _LINKS:
        yield f"It is a {_LINKS[thing.bases[0]]}, and has what that has.\n\n"
    # A field that needs no words stands above already, among what the class is made of.
    listed = [each for each in thing.members if each.doc or each.declaration not in thing.declaration]
    if listed:
        yield from (_item(each.declaration, each.doc) for each in listed)
        yield "\n"


#: Base classes that are explained elsewhere on these pages.
_LINKS: Final = {
    "Stanza": "[`Stanza`](stanzas.md#stanza)",
    "StanzaError": "[`StanzaError`](errors.md#stanzaerror)",
    "Node": "[Node](modules.md#node)",
    "Branch": "[Node](modules.md#node)",
    "BaseOptions": "[Options](modules.md#options)",
}


def _item(declaration: str, doc: str) -> str:
    text = _text(doc).replace("\n", "\n  ").replace("\n  \n", "\n\n")
    return f"- `{declaration}`{': ' if doc else ''}{text}\n"


def _first_sentence(thing: Documented) -> str:
    first = " ".join(thing.doc.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.;])\s", first)[0].rstrip(";.")
    return f"{_text(sentence)}." if sentence else f"`{thing.declaration}`."


_WORDS: Final = re.compile(
    r"(``[^`]+``|`[^`]+`)"
    r"|RFC (?P<rfc>\d+)(?: §(?P<section>\d+(?:\.\d+)*))?"
    r"|XEP-(?P<xep>\d{4})"
)


def _text(doc: str) -> str:
    """A docstring as Markdown, with a link for each RFC and XEP."""
    doc = re.sub(r":\w+:`", "`", doc).replace("::\n", ":\n")

    def linked(match: re.Match[str]) -> str:
        if match["rfc"]:
            section = f"#section-{match['section']}" if match["section"] else ""
            return f"[{match[0]}](https://www.rfc-editor.org/rfc/rfc{match['rfc']}{section})"
        if match["xep"]:
            return f"[{match[0]}](https://xmpp.org/extensions/xep-{match['xep']}.html)"
        return match[0]

    return _WORDS.sub(linked, doc)


# -- hooks ------------------------------------------------------------------------------------------------------------


def hooks() -> list[Documented]:
    """Every hook, in its order."""
    return [each for each in find(API, "hooks").members if shape(each) in ("event", "watch", "filter", "collect")]


def shape(hook: Documented) -> str:
    """Event, watch, filter or collect, in small letters."""
    return hook.declaration.partition(": ")[2].partition("[")[0].lower()


def handler(hook: Documented) -> str:
    """What a method that takes *hook* is given and returns: ``(self, Session, Stanza) -> Outcome``."""
    declared = ast.parse(hook.declaration).body[0]
    assert isinstance(declared, ast.AnnAssign) and isinstance(declared.annotation, ast.Subscript)
    of = declared.annotation.slice
    if shape(hook) in ("filter", "watch"):
        return f"(self, {ast.unparse(of)}, Stanza) -> {'Outcome' if shape(hook) == 'filter' else 'None'}"
    given, result = of.elts if isinstance(of, ast.Tuple) else (of, None)
    assert isinstance(given, ast.List)
    types = ", ".join(["self", *map(ast.unparse, given.elts)])
    return f"({types}) -> {'None' if result is None else f'Iterable[{ast.unparse(result)}]'}"
