"""XEP-0227: what there is in a file, and in those it includes, one thing after the other, without holding more of it.

It knows no accounts and no modules: only hosts, users and what stands in them. It blocks, so it is run in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

from ...xmpp import ns
from ...xmpp.element import Element

Tag: TypeAlias = tuple[str, str]
"""The namespace and the name of an element."""

#: Bytes read at a time.
CHUNK: Final = 64 * 1024
#: Characters of one thing: of a message, a contact, a vCard. What is larger is left out.
MOST_OF_ONE: Final = 4 * 1024 * 1024
#: How deep the elements of one thing may lie within each other.
MOST_DEEP: Final = 128
#: Attributes of one element.
MOST_ATTRIBUTES: Final = 1000
#: Files that include each other.
MOST_FILES_DEEP: Final = 8

# Where in a document an element stands: what the elements around it are.
_DOCUMENT, _SERVER, _HOST, _USER, _AROUND, _THING = range(6)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: ``FILE:LINE``."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class _NotReadable(Exception):
    """There is no going on; the text says where and why."""


@dataclass(frozen=True, slots=True)
class HostFound:
    """What follows belongs to this host."""

    jid: str
    place: Place


@dataclass(frozen=True, slots=True)
class UserFound:
    """What follows belongs to this user of the host."""

    name: str
    password: str | None = field(repr=False)
    place: Place


@dataclass(frozen=True, slots=True)
class Thing:
    """Something of the user: *tag* is its own, or that of the element around it. *size* is in characters, about."""

    tag: Tag
    element: Element
    size: int
    place: Place


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that cannot be taken, and *why*."""

    why: str
    place: Place


@dataclass(frozen=True, slots=True)
class Broken:
    """The file ends here: there is no going on; *why* says where."""

    why: str


Found: TypeAlias = HostFound | UserFound | Thing | Odd | Broken


@dataclass(frozen=True, slots=True)
class _Include:
    path: Path
    place: Place
    where: int


class PieReader:
    """Finds what there is in *main*, a file or a directory of files.

    *around* are the elements whose children are one thing each, *known* all others. `read` and `size` tell how far it
    is, in bytes, as far as files are known.
    """

    def __init__(self, main: Path, around: Set[Tag], known: Set[Tag]) -> None:
        self._main = main
        self.around = around
        self.known = known
        self.read = 0
        self.size = 0
        self._open: list[Path] = []
        #: The files of a directory, and whether each has been read: one may include another.
        self._whole: dict[Path, bool] = {}

    def __iter__(self) -> Iterator[Found]:
        """All of it, in its order."""
        # A directory is what Prosody writes: there each account is a document of its own.
        paths = sorted(self._main.glob("*.xml")) if self._main.is_dir() else [self._main]
        for path in paths:
            self.announced(path)
        self._whole = dict.fromkeys(map(Path.resolve, paths), False)
        try:
            for path in paths:
                if not self._whole[path.resolve()]:
                    yield from self._file(path, _DOCUMENT)
        except _NotReadable as error:
            yield Broken(str(error))

    def announced(self, path: Path) -> None:
        """It is going to be read."""
        if path.resolve() in self._whole:
            return  # that has been told
        try:
            self.size += path.stat().st_size
        except OSError:
            pass  # of that is told when it is its turn

    def _file(self, path: Path, where: int) -> Iterator[Found]:
        try:
            file = path.open("rb")
        except OSError as error:
            raise _NotReadable(f"{path} cannot be read: {error.strerror}") from None
        parsing = _Parsing(self, path, where)
        itself = path.resolve()
        self._open.append(itself)
        if itself in self._whole:
            self._whole[itself] = True
        try:
            with file:
                while chunk := file.read(CHUNK):
                    parsing.feed(chunk, last=False)
                    self.read += len(chunk)
                    yield from self._found(parsing)
                parsing.feed(b"", last=True)
                yield from self._found(parsing)
        except OSError as error:
            raise _NotReadable(f"{path} cannot be read: {error.strerror}") from None
        finally:
            self._open.pop()
            parsing.close()

    def _found(self, parsing: _Parsing) -> Iterator[Found]:
        found, parsing.found = parsing.found, []
        for each in found:
            if isinstance(each, _Include):
                yield from self._included(each)
            else:
                yield each
        if parsing.error is not None:
            raise _NotReadable(parsing.error)

    def _included(self, include: _Include) -> Iterator[Found]:
        if include.path.resolve() in self._open or len(self._open) >= MOST_FILES_DEEP:
            yield Odd(f"the file {include.path} includes itself", include.place)
        elif self._whole.get(include.path.resolve()):
            return
        elif not include.path.is_file():
            yield Odd(f"there is no file {include.path}", include.place)
        else:
            yield from self._file(include.path, include.where)


class _Parsing:
    """One file as expat reads it. *where* its root element stands is where it is included."""

    def __init__(self, reader: PieReader, path: Path, where: int) -> None:
        self.found: list[Found | _Include] = []
        #: Why there is no going on.
        self.error: str | None = None
        self._reader = reader
        self._path = path
        self._where = where
        #: Where each of the elements around stood.
        self._outer: list[int] = []
        self._skipping = 0
        self._tag: Tag = ("", "")
        self._stack: list[Element] = []
        self._size = 0
        self._began = Place(path, 1)
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        self._expat: expat.XMLParserType | None = parser

    def feed(self, data: bytes, *, last: bool) -> None:
        assert self._expat is not None
        try:
            self._expat.Parse(data, last)
        except expat.ExpatError as error:
            self.error = f"{self._path}:{error.lineno}: {expat.ErrorString(error.code)}"
        except _NotReadable as error:
            self.error = str(error)
        except (LookupError, ValueError) as error:
            # So Python says that it does not know the encoding which the file declares, or that expat cannot use it.
            self.error = f"{self._place()}: its encoding cannot be read: {error}"

    def close(self) -> None:
        # Its handlers are our methods: leave no cycle behind.
        self._expat = None

    def _place(self) -> Place:
        assert self._expat is not None
        return Place(self._path, self._expat.CurrentLineNumber)

    def _doctype(self, *_: object) -> None:
        """What declares entities can grow without end when it is read."""
        raise _NotReadable(f"{self._place()}: a file with a DOCTYPE is not read")

    # -- expat's handlers -----------------------------------------------------------------------------------------

    def _started(self, name: str, attrs: dict[str, str]) -> None:
        if self._skipping:
            self._skipping += 1
            return
        tag = _tag(name)
        if self._stack:
            self._go_deeper(tag, attrs)
            return
        if tag[0] == ns.XINCLUDE and self._where <= _USER:
            # §5: "an importing server SHOULD NOT process <include/> elements which are descendants, but not children of
            # the <user/> element (since these may be part of user data)".
            self._include(tag[1], attrs)
            self._skipping = 1
            return
        inner = self._inner(tag, attrs)
        if inner is None:
            self._skipping = 1
            return
        self._outer.append(self._where)
        self._where = inner

    def _inner(self, tag: Tag, attrs: dict[str, str]) -> int | None:
        """Where the children of an element stand; ``None`` where it is of no use."""
        where = self._where
        if where == _DOCUMENT and tag == (ns.PIE, "server-data"):
            return _SERVER
        # A file for one host is a document as well.
        if where in (_DOCUMENT, _SERVER) and tag == (ns.PIE, "host"):
            return self._found_with("jid", attrs, lambda jid: HostFound(jid, self._place()), _HOST)
        if where == _HOST and tag == (ns.PIE, "user"):
            password = attrs.get("password")
            # §4.2: "The <user/> element MUST have a 'name' attribute".
            return self._found_with("name", attrs, lambda name: UserFound(name, password, self._place()), _USER)
        if where == _DOCUMENT:
            raise _NotReadable(
                f"{self._place()}: this is no file of XEP-0227: it begins with <{tag[1]} xmlns='{tag[0]}'>"
            )
        if where == _USER and tag in self._reader.around:
            self._tag = tag
            return _AROUND
        if where == _AROUND or (where == _USER and tag in self._reader.known):
            if where == _USER:
                self._tag = tag
            self._begin(tag, attrs)
            return _THING
        # §4: "An importing server that encounters a namespace that it doesn't understand … SHOULD ignore the unknown
        # data, SHOULD notify the operator".
        self.found.append(Odd(f"<{tag[1]} xmlns='{tag[0]}'> is nothing that can be taken here", self._place()))
        return None

    def _found_with(self, name: str, attrs: dict[str, str], made: Callable[[str], Found], inner: int) -> int | None:
        value = attrs.get(name)
        if not value:
            self.found.append(Odd(f"the attribute '{name}' is missing", self._place()))
            return None
        self.found.append(made(value))
        return inner

    def _include(self, name: str, attrs: dict[str, str]) -> None:
        """§5: "An importing server MUST support <include/> elements having an 'href' attribute containing a relative
        URI, having no 'parse' attribute, and having no 'xpointer' attribute"."""
        relative = _relative_path(attrs.get("href", ""))
        if name != "include" or not relative or "parse" in attrs or "xpointer" in attrs:
            self.found.append(Odd("only files whose relative URI stands in 'href' are included", self._place()))
            return
        path = self._path.parent / relative
        self._reader.announced(path)
        self.found.append(_Include(path, self._place(), self._where))

    def _begin(self, tag: Tag, attrs: dict[str, str]) -> None:
        self._began = self._place()
        self._size = _size(tag, attrs)
        self._stack.append(_element(tag, attrs))
        if self._size > MOST_OF_ONE:
            self._give_up()

    def _go_deeper(self, tag: Tag, attrs: dict[str, str]) -> None:
        self._size += _size(tag, attrs)
        if len(self._stack) >= MOST_DEEP or self._size > MOST_OF_ONE or len(attrs) > MOST_ATTRIBUTES:
            self._give_up()
            self._skipping += 1
            return
        element = _element(tag, attrs)
        self._stack[-1].children.append(element)
        self._stack.append(element)

    def _give_up(self) -> None:
        """Pass by the rest of a thing that is too large."""
        self.found.append(Odd(f"it is too large: more than {MOST_OF_ONE} characters, or too deep", self._began))
        self._skipping = len(self._stack)
        self._stack.clear()

    def _text(self, text: str) -> None:
        if self._stack and not self._skipping:
            self._size += len(text)
            self._stack[-1].children.append(text)
            if self._size > MOST_OF_ONE:
                self._give_up()

    def _ended(self, _: str) -> None:
        if self._skipping:
            self._skipping -= 1
            if not self._skipping and self._where == _THING:
                self._where = self._outer.pop()
            return
        if self._stack:
            element = self._stack.pop()
            if self._stack:
                return
            self.found.append(Thing(self._tag, element, self._size, self._began))
        self._where = self._outer.pop()


def _relative_path(href: str) -> str:
    """The path that a relative URI names; "" where it is another kind of URI, or none."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return ""
    path = unquote(parts.path)
    strange = parts.scheme or parts.netloc or parts.query or parts.fragment or path.startswith("/") or "\0" in path
    return "" if strange else path


def _tag(name: str) -> Tag:
    namespace, _, local = name.rpartition(" ")
    return namespace, local


def _size(tag: Tag, attrs: dict[str, str]) -> int:
    return len(tag[1]) + sum(len(name) + len(value) for name, value in attrs.items())


_XML: Final = f"{ns.XML} "


def _element(tag: Tag, attrs: dict[str, str]) -> Element:
    """As `Element` has it: ``xml:lang``, and ``{namespace}name``."""
    if any(" " in name for name in attrs):
        attrs = {_attribute(name): value for name, value in attrs.items()}
    return Element(tag[1], tag[0], attrs=attrs)


def _attribute(name: str) -> str:
    if name.startswith(_XML):
        return f"xml:{name[len(_XML) :]}"
    namespace, local = _tag(name)
    return f"{{{namespace}}}{local}" if namespace else local


def take(found: Iterator[Found], most: int, size: int) -> Sequence[Found]:
    """The next things: at most *most*, and hardly more characters than *size*. None at the end."""
    taken: list[Found] = []
    for each in found:
        taken.append(each)
        size -= each.size if isinstance(each, Thing) else 0
        if len(taken) >= most or size <= 0:
            break
    return taken
