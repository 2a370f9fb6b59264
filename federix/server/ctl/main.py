"""`federixctl`: what an operator types.

The commands themselves are the server's (`commands.py`, and those of its modules); this program asks the running server
what a command takes, asks for passwords that are missing, and prints the answer. `check` and `help` need no server.
Exit codes are those of ejabberdctl: 0 done, 1 it failed, 2 wrong use, 3 no server.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from ... import __version__
from .asking import Connection, NoServer, Refused
from .bar import Bar, is_terminal
from .place import DATA
from .printing import lines, printable, table

FAILED: Final = 1
WRONG_USE: Final = 2
NO_SERVER: Final = 3

#: Characters of a password read from standard input.
MAX_SECRET: Final = 8192


class Place:
    """Which server is meant."""

    def __init__(self, config: str | None, directory: str | None, as_json: bool) -> None:
        self.config = Path(config) if config else None
        self._directory = Path(directory) if directory else None
        self.as_json = as_json

    @property
    def directory(self) -> Path:
        return (self._directory or DATA).absolute()

    @property
    def given_directory(self) -> Path | None:
        return self._directory

    def connect(self) -> Connection:
        """Ask the running server. Ends the program where there is none."""
        options = f"{f' -c {self.config}' if self.config else ''}{f' -d {self._directory}' if self._directory else ''}"
        try:
            return Connection(self.directory, f"twistd federix{options}")
        except NoServer as error:
            fail(str(error), NO_SERVER)


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong and end the program, with this code also where nobody can be told."""
    try:
        for line in text.split("\n"):
            click.echo(f"federixctl: {printable(line)}", err=True)
    except OSError:
        _discard(sys.stderr)
    sys.exit(code)


def _discard(stream: Any) -> None:
    """What could not be written is not tried again: Python would do so at the end, and complain."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show(answer: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    # People want to know what a column is; programs that read them count on each line being one of the answer.
    for line in lines(answer, headed=is_terminal(sys.stdout)):
        click.echo(line)


class Federixctl(click.Group):
    """Finds the commands that the running server has."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the program; a full disk, below standard output or elsewhere, is told in one line."""
        try:
            return super().main(*args, **settings)
        except OSError as error:
            _discard(sys.stdout)
            fail(f"{error.filename or 'standard output'}: {error.strerror}", FAILED)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or remote(cmd_name)


def remote(name: str) -> click.Command:
    """A command that the server does."""

    @click.pass_obj
    def run(place: Place, words: tuple[str, ...]) -> None:
        as_json = place.as_json or "--json" in words
        words = tuple(word for word in words if word != "--json")
        with place.connect() as server:
            try:
                described = server.describe(name)
                if any(word in ("--help", "-h") for word in words):
                    click.echo(f"{usage(described)}\n\n  {described['doc']}")
                    return
                with Bar(name) as bar:
                    answer = server.run(name, arguments(described, words), bar)
                show(answer, as_json)
                if name == "stop":
                    server.wait_for_the_end()
            except Refused as error:
                fail(str(error), error.code)
            except NoServer as error:
                fail(str(error), NO_SERVER)

    # Whatever stands behind the name is the server's to understand: a password may begin with a hyphen.
    return click.Command(
        name,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        callback=run,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )


def usage(described: dict[str, Any]) -> str:
    names = (
        f"[--{each['name']}]"
        if is_flag(each)
        else f"[{each['name'].upper()}]"
        if not each["required"] or each["secret"]
        else each["name"].upper()
        for each in described["arguments"]
    )
    return " ".join((described["name"], *names))


def is_flag(argument: dict[str, Any]) -> bool:
    """Whether it may be given by its name alone: ``--overwrite``."""
    return argument["type"] == "true or false" and not argument["required"]


def arguments(described: dict[str, Any], words: tuple[str, ...]) -> dict[str, str]:
    """What was typed, by the names of the arguments; a password that is missing, or ``-``, is read.

    Paths are made absolute: the server may have another working directory.
    """
    wanted = described["arguments"]
    flags = {f"--{each['name']}": each["name"] for each in wanted if is_flag(each)}
    raised = {flags[word]: "true" for word in words if word in flags}
    words = tuple(word for word in words if word not in flags)
    wanted = [each for each in wanted if each["name"] not in raised]
    if len(words) > len(wanted):
        fail(f"too many arguments: federixctl {usage(described)}", WRONG_USE)
    given = {argument["name"]: word for argument, word in zip(wanted, words, strict=False)}
    missing = [a["name"] for a in wanted if a["required"] and not a["secret"] and a["name"] not in given]
    if missing:
        fail(f"{', '.join(missing)} is missing: federixctl {usage(described)}", WRONG_USE)
    for argument in wanted:
        name = argument["name"]
        if argument["secret"] and given.get(name, "-") == "-" and (argument["required"] or name in given):
            given[name] = secret(name, typed="-" not in words, twice=not described["name"].startswith("check"))
        elif argument["type"] == "path" and name in given:
            given[name] = str(Path(given[name]).absolute())
    return given | raised


def secret(name: str, *, typed: bool, twice: bool) -> str:
    """A password: asked for on the terminal, or the first line of standard input."""
    if typed and is_terminal(sys.stdin):
        found: str = click.prompt(name, hide_input=True, confirmation_prompt=twice, err=True)
        return found
    line = sys.stdin.readline(MAX_SECRET).rstrip("\r\n") if sys.stdin is not None else ""
    if not line:
        fail(f"no {name} on standard input", WRONG_USE)
    return line


@click.group(cls=Federixctl, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", metavar="FILE", help="The server's configuration, as given to twistd.")
@click.option("-d", "--directory", metavar="DIRECTORY", help="The server's data; ./federix-data otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print answers as JSON.")
@click.version_option(__version__, prog_name="federixctl", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, config: str | None, directory: str | None, as_json: bool) -> None:
    """Ask a running Federix server to do something. `federixctl help` lists what it can do."""
    ctx.obj = Place(config, directory, as_json)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(WRONG_USE)


@main.command("help")
@click.argument("name", required=False)
@click.pass_obj
def help_(place: Place, name: str | None) -> None:
    """What commands there are, or what one of them does."""
    try:
        with Connection(place.directory, "") as server:
            known = server.describe(None)
    except (NoServer, Refused):
        click.echo("(no server runs here: its modules may have more commands)", err=True)
        known = built_in()
    if name is None:
        here = {each: (main.commands[each].help or "").split("\n")[0] for each in sorted(main.commands)}
        rows = [[usage(each), each["doc"].split("\n")[0]] for each in known]
        for line in table([*([name, doc] for name, doc in here.items()), *rows]):
            click.echo(line)
        return
    for each in known:
        if each["name"] == name:
            click.echo(f"{usage(each)}\n\n  {each['doc']}")
            return
    fail(f"there is no command {name}; 'federixctl help' lists them", WRONG_USE)


def built_in() -> list[dict[str, Any]]:
    """What every server can do."""
    from ...core.commands import Command, is_command
    from ..moving.commands import MovingCommands
    from .commands import ServerCommands
    from .federation import FederationCommands

    owners = (ServerCommands, FederationCommands, MovingCommands)
    functions = (value for owner in owners for _, value in sorted(vars(owner).items()) if is_command(value))
    return [dict(Command.of(function).described()) for function in functions]


@main.command()
@click.argument("file", required=False)
@click.option("-c", "--config", metavar="FILE", help="The configuration to check; or name it without an option.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only, and nothing where all is well.")
@click.option("--json", "as_json", is_flag=True, help="Print the options as JSON.")
@click.pass_obj
def check(place: Place, file: str | None, config: str | None, quiet: bool, as_json: bool) -> None:
    """Read a configuration without starting anything.

    Prints every option that would be in force on standard output, and on standard error what is wrong, what is worth
    a warning, and whether a server would start. The exit code is 1 if it would not.
    """
    from ..config import ConfigErrors
    from ..start import load_config
    from .checking import certificate_problems

    name = file or config
    path = Path(name) if name else place.config
    errors: list[str] = []
    try:
        loaded = load_config(path, place.given_directory)
    except ConfigErrors as found:
        errors = [str(problem) for problem in found.problems]
        warnings = [str(warning) for warning in getattr(found, "warnings", ())]
    else:
        warnings = [*map(str, loaded.warnings), *certificate_problems(loaded)]
        if not quiet:
            show(loaded.in_force(), as_json or place.as_json)
    for kind, problems in (("error", errors), ("warning", warnings)):
        for problem in problems:
            click.echo(f"{kind}: {printable(problem)}", err=True)
    if not quiet:
        click.echo(verdict(path, len(errors), len(warnings)), err=True)
    if errors:
        sys.exit(FAILED)


@main.command("convert_to_sql")
@click.option("--from", "source", metavar="FILE", help="The SQLite file; DIRECTORY/federix.sqlite otherwise.")
@click.pass_obj
def convert_to_sql(place: Place, source: str | None) -> None:
    """Copy the SQLite database into the empty one on the server that the configuration names (sql_type).

    No Federix server may run in the data directory. The SQLite file stays as it is. What breaks off can be begun again.
    """
    from ...storage.storage import StoreError
    from ..config import ConfigErrors
    from ..directory import DirectoryError
    from ..start import load_config
    from .converting import CannotConvert, convert

    try:
        config = load_config(place.config, place.given_directory)
        show(
            {name: f"{rows} rows" for name, rows in convert(config, Path(source) if source else None).items()},
            place.as_json,
        )
    except ConfigErrors as errors:
        fail("\n".join(str(problem) for problem in errors.problems), FAILED)
    except (CannotConvert, StoreError, DirectoryError) as error:
        fail(str(error), FAILED)


def verdict(path: Path | None, errors: int, warnings: int) -> str:
    """What all of it comes to."""
    what = printable(path) if path else "the configuration of who has none"
    counted = ", ".join(
        f"{count} {name}{'s' if count > 1 else ''}"
        for count, name in ((errors, "error"), (warnings, "warning"))
        if count
    )
    if errors:
        return f"{what}: {counted}; a server would not start with it"
    return f"{what}: a server would start with it{f'; {counted}' if counted else ''}"


if __name__ == "__main__":
    main()
