"""Commands of the operator: declared once, asked for by `federixctl` or over any other way in.

A command is a function: its name, its docstring and its typed arguments say all there is to know about it. What it
returns is the answer (plain data), what it raises is the error.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from twisted.logger import Logger

from ..xmpp.errors import StanzaError
from ..xmpp.jid import InvalidJID, prepare_domain
from .options import ConfigError, ConfigErrors, Reader, Secret, did_you_mean, node_of
from .options.reader import type_name

log = Logger()

F = TypeVar("F", bound=Callable[..., object])

#: Plain data: nothing, a text, a number, a truth, a list of these, a mapping of names to these. A list of mappings is a
#: table.
Answer: TypeAlias = str | int | float | bool | Sequence["Answer"] | Mapping[str, "Answer"] | None

_NAME: Final = "__federix_command__"


class Progress:
    """How far a command is: one that takes long has an argument of this type, which is not asked of the operator.

    This one tells nobody.
    """

    def __call__(self, done: int, of: int, note: str = "") -> None:
        """So much is *done*, *of* so much; *note* says more. Raises `CommandError` when whoever asked has gone."""


UNTOLD: Final = Progress()


class CommandError(Exception):
    """It could not be done; the text says why and what to do, for the operator. `federixctl` ends with code 1."""


class WrongUse(CommandError):
    """The command was asked for in a way that makes no sense: no such command, too few arguments, …"""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command."""

    name: str
    annotation: Any
    required: bool

    @property
    def secret(self) -> bool:
        """Whether it is never to be shown, nor asked for where it can be seen."""
        return self.annotation is Secret

    def described(self) -> dict[str, Answer]:
        return {
            "name": self.name,
            "type": type_name(self.annotation),
            "required": self.required,
            "secret": self.secret,
        }


@dataclass(frozen=True, slots=True)
class Command:
    """A command: *function* does it."""

    name: str
    doc: str
    arguments: tuple[Argument, ...]
    function: Callable[..., Any]
    #: The argument by which it tells how far it is, if it does.
    progress: str | None = None

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Command:
        """The command that a function marked with `command` is; arguments with a default may be left out."""
        hints = typing.get_type_hints(function)
        arguments = tuple(
            Argument(name, hints[name], parameter.default is parameter.empty)
            for name, parameter in inspect.signature(function).parameters.items()
            if name != "self" and hints[name] is not Progress
        )
        progress = next((name for name, hint in hints.items() if hint is Progress), None)
        return cls(getattr(function, _NAME), inspect.getdoc(function) or "", arguments, function, progress)

    def described(self) -> dict[str, Answer]:
        """Everything about it, as plain data."""
        return {
            "name": self.name,
            "doc": self.doc,
            "arguments": [argument.described() for argument in self.arguments],
        }

    @property
    def usage(self) -> str:
        """``register USER HOST [PASSWORD]``."""
        names = (a.name.upper() if a.required else f"[{a.name.upper()}]" for a in self.arguments)
        return " ".join((self.name, *names))

    def read(self, given: Mapping[str, object]) -> dict[str, Any]:
        """The arguments as the function wants them; raises `WrongUse`."""
        known = {argument.name: argument for argument in self.arguments}
        for name in given:
            if name not in known:
                raise WrongUse(f"{self.name} has no argument {name!r}{did_you_mean(name, known)}: {self.usage}")
        missing = [argument.name for argument in self.arguments if argument.required and argument.name not in given]
        if missing:
            raise WrongUse(f"{', '.join(missing)} is missing: {self.usage}")
        reader = Reader()
        try:
            read = {
                name: reader.value(known[name].annotation, node_of(value, path=name), name)
                for name, value in given.items()
            }
        except ConfigError as error:
            raise WrongUse(str(error.problem)) from None
        if reader.errors:
            raise WrongUse("; ".join(map(str, reader.errors)))
        return read


def command(name: str = "") -> Callable[[F], F]:
    """Make a method a command, by its own name or *name*: ``@command()``, with the brackets.

    Its docstring is its help, its arguments are read by their types (as options are: `str`, `int`, `bool`, `float` …;
    `Secret` is asked for without being shown), and those with a default may be left out. What takes long has an
    argument of type `Progress` as well. It may be `async def`. It returns plain data: nothing, text, numbers, truths,
    lists and mappings of these; a list of mappings is a table.

    A module's commands run on its host: they have an argument ``host: str``, by which the right one is found.
    `CommandError` tells the operator what is wrong; a `StanzaError` does so as well.
    """

    if not isinstance(name, str):
        # Without its brackets it would take the method for a name, and quietly make it no command at all.
        raise TypeError("it is written with brackets: @command()")

    def mark(function: F) -> F:
        setattr(function, _NAME, name or function.__name__)
        return function

    return mark


def is_command(function: object) -> bool:
    return hasattr(function, _NAME)


class Commands:
    """The commands of a server."""

    def __init__(self) -> None:
        #: By name, then by the host they are for: None is the server itself.
        self._commands: dict[str, dict[str | None, Command]] = {}

    def __iter__(self) -> typing.Iterator[Command]:
        """All commands by name, one for each name."""
        for name in sorted(self._commands):
            yield next(iter(self._commands[name].values()))

    def add(self, function: Callable[..., Any], host: str | None = None) -> Callable[[], None]:
        """Offer a marked function, for one *host* or the whole server; the call that comes back undoes it."""
        new = Command.of(function)
        if host is not None and not any(argument.name == "host" for argument in new.arguments):
            raise ValueError(f"the command {new.name} of a module needs an argument 'host'")
        offered = self._commands.setdefault(new.name, {})
        if offered and (host is None or host in offered or None in offered):
            raise ValueError(f"there is a command {new.name} already")
        offered[host] = new

        def undo() -> None:
            del offered[host]
            if not offered:
                del self._commands[new.name]

        return undo

    def add_all(self, owner: object) -> None:
        """Offer every marked method of *owner*, for the whole server and for good."""
        for name in dir(type(owner)):
            if is_command(getattr(type(owner), name)):
                self.add(getattr(owner, name))

    def find(self, name: str) -> Command:
        """The command of that name (of any host); raises `WrongUse`."""
        offered = self._commands.get(name)
        if not offered:
            raise WrongUse(f"there is no command {name!r}{did_you_mean(name, self._commands)}")
        return next(iter(offered.values()))

    async def run(self, name: str, arguments: Mapping[str, object], progress: Progress = UNTOLD) -> Answer:
        """Do it, and return the answer; *progress* is told how far it is. Raises `CommandError`, and nothing else."""
        self.find(name)
        chosen = self._for_host(name, arguments)
        read = chosen.read(arguments)
        if chosen.progress is not None:
            read[chosen.progress] = progress
        try:
            answer = chosen.function(**read)
            done = _plain(await answer if isinstance(answer, Awaitable) else answer, name)
        except CommandError:
            raise
        except StanzaError as error:
            raise CommandError(error.text or error.condition.tag.replace("-", " ")) from None
        except ConfigErrors as errors:
            raise CommandError("\n".join(str(problem) for problem in errors.problems)) from None
        except (Exception, SystemExit):
            log.failure("command failed", command=name)
            raise CommandError("something went wrong inside the server: its log says what") from None
        return done

    def _for_host(self, name: str, arguments: Mapping[str, object]) -> Command:
        offered = self._commands[name]
        if None in offered:
            return offered[None]
        given = arguments.get("host")
        if not isinstance(given, str):
            return self.find(name)  # whose reading will say what is missing
        try:
            return offered[prepare_domain(given)]
        except (KeyError, InvalidJID):
            raise CommandError(
                f"{given} has no command {name}; it is there for {', '.join(map(str, offered))}"
            ) from None


def _plain(answer: object, name: str) -> Answer:
    """What the command *name* returned, as what can be written down. Raises TypeError for what cannot."""
    if answer is None or isinstance(answer, str | bool | int | float):
        return answer
    if isinstance(answer, Mapping):
        return {str(key): _plain(value, name) for key, value in answer.items()}
    if isinstance(answer, Sequence) and not isinstance(answer, bytes | bytearray | memoryview):
        return [_plain(item, name) for item in answer]
    raise TypeError(f"{name} answers with a {type(answer).__name__}, which is no plain data")
