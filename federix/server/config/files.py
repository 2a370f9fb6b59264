"""Configuration files: reading them, including one in another, and joining what they say."""

from __future__ import annotations

from pathlib import Path

from federix.core.options import ConfigError, ListNode, MapNode, Node, Place, Reader, Scalar, joined
from federix.server.config.yaml import MAXIMUM_TEXT, Budget, parse

INCLUDE = "include_config_file"
MAXIMUM_INCLUDES = 100
"""Files one configuration may be made of."""


class Files:
    """Reads a configuration with all that it includes into one map."""

    def __init__(self, reader: Reader, budget: Budget) -> None:
        self._reader = reader
        self._budget = budget
        self._read = 0

    def read(self, path: Path, asked_at: Place | None = None, inside: tuple[Path, ...] = ()) -> MapNode:
        """The top-level map of the file *path* and of those it includes. Raises ConfigError."""
        place = asked_at or Place(str(path))
        try:
            real = path.resolve()
        except (OSError, ValueError, RuntimeError):
            raise ConfigError("", "cannot be read", place) from None
        if real in inside:
            raise ConfigError(INCLUDE, f"{path} includes itself", place)
        self._read += 1
        if self._read > MAXIMUM_INCLUDES:
            raise ConfigError(INCLUDE, f"more than {MAXIMUM_INCLUDES} files", place)
        return self.included(parse(_text(path, place), str(path), self._budget), path.parent, (*inside, real))

    def included(self, node: Node, folder: Path, inside: tuple[Path, ...] = ()) -> MapNode:
        """*node* joined with what its `include_config_file` names; relative paths start in *folder*."""
        if isinstance(node, Scalar) and node.is_null:
            return MapNode((), node.place)
        if not isinstance(node, MapNode):
            raise ConfigError("", f"a configuration must be a map of options, not {node.kind}", node.place)
        result: Node = node.without(INCLUDE)
        include = node.get(INCLUDE)
        for name, rules in [] if include is None else self._wanted(include):
            more = self.read(folder / name.text, name.place, inside)
            result = merged(result, self._allowed(more, rules, name), "", self._reader)
        assert isinstance(result, MapNode)
        return result

    def _wanted(self, node: Node) -> list[tuple[Scalar, Node | None]]:
        if isinstance(node, Scalar) and not node.is_null:
            return [(node, None)]
        if isinstance(node, MapNode):
            return [(key, value) for key, value in node]
        if isinstance(node, ListNode):
            return [wanted for item in node.items for wanted in self._wanted(item)]
        raise ConfigError(INCLUDE, f"must be a file, not {node.kind}", node.place)

    def _allowed(self, node: MapNode, rules: Node | None, name: Scalar) -> MapNode:
        """*node* without what `disallow` names or `allow_only` does not."""
        kept = node
        for key, value in self._reader.entries(rules, joined(INCLUDE, name.text)):
            if key.text not in ("disallow", "allow_only"):
                why = "must be 'disallow' or 'allow_only'"
                self._reader.problem(joined(INCLUDE, name.text), why, key.place)
                continue
            names = {
                item.text
                for item in (value.items if isinstance(value, ListNode) else (value,))
                if isinstance(item, Scalar)
            }
            refused = [entry for entry, _value in kept if (entry.text in names) == (key.text == "disallow")]
            for entry in refused:
                self._reader.warn(entry.text, "is not allowed in this included file, so it is left out", entry.place)
            kept = kept.without(*(entry.text for entry in refused))
        return kept


def merged(one: Node, other: Node, path: str, reader: Reader) -> Node:
    """Maps are joined, lists follow each other; a single value given in both is an error."""
    if isinstance(one, ListNode) and isinstance(other, ListNode):
        return ListNode(one.items + other.items, one.place)
    if isinstance(one, MapNode) and isinstance(other, MapNode):
        entries = {key.text: (key, value) for key, value in one}
        for key, value in other:
            if key.text in entries:
                old_key, old = entries[key.text]
                entries[key.text] = (old_key, merged(old, value, joined(path, key.text), reader))
            else:
                entries[key.text] = (key, value)
        return MapNode(tuple(entries.values()), one.place)
    if one != other:
        reader.problem(path, f"is given already at {one.place}", other.place)
    return one


def _text(path: Path, place: Place) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_TEXT * 4 + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        # The place names the file, unless another file includes it.
        what = "cannot be read" if place.file == str(path) else f"{path} cannot be read"
        raise ConfigError("", f"{what}: {reason}", place) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("", "is not UTF-8", Place(str(path), line, 1)) from None
