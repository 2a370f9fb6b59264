"""What the operator asks for when accounts move (XEP-0227), in ejabberdctl's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...core.commands import Answer, CommandError, Progress, command
from ...core.host import Host
from ..ctl.hosts import HostCommands
from .bringing import SCRAM, Bringer
from .reading import PieReader, take
from .writing import PieFile, Target, include, portables_of, server_data, write_apart, write_host

if TYPE_CHECKING:
    from ..server import Server

#: Things read at a time, and characters of them.
MOST_THINGS: Final = 500
MOST_CHARACTERS: Final = 512 * 1024
#: The file that includes those of the hosts, where there is no host of that name.
MAIN: Final = "server-data.xml"


class MovingCommands(HostCommands):
    """Each method is a command; see `federix.core.commands`."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._importing = False

    @command()
    async def export_piefxis(self, progress: Progress, dir: Path, to: Target = "any") -> Answer:
        """Write all accounts of all hosts, and what they have, into a directory (XEP-0227).

        There is a file for each host, and server-data.xml, which includes them. Where they go to ejabberd or prosody,
        they are as it reads them: for Prosody each account is a file of its own.
        """
        return await self._export(dir, self._hosts(), to, progress)

    @command()
    async def export_piefxis_host(self, progress: Progress, dir: Path, host: str, to: Target = "any") -> Answer:
        """Write all accounts of one host, and what they have, into a directory (XEP-0227)."""
        return await self._export(dir, [self._host(host)], to, progress)

    @command()
    async def import_piefxis(self, progress: Progress, file: Path, overwrite: bool = False) -> Answer:
        """Take in what a file of XEP-0227, or a directory of such files, has for the hosts that are served here.

        Done again, it adds nothing twice. What is there already stays as it is, unless it is to be overwritten.
        """
        if self._importing:
            raise CommandError("another import is under way")
        self._importing = True
        try:
            return await self._import(file, overwrite, progress)
        finally:
            self._importing = False

    # -- out ----------------------------------------------------------------------------------------------------------

    async def _export(self, folder: Path, hosts: Sequence[Host], to: Target, progress: Progress) -> Answer:
        executor = self._server.executor
        await executor.run(_make, folder)
        counts = [await host.accounts.count() for host in hosts]
        total = sum(counts)
        if to == "prosody":
            return await self._export_apart(folder, hosts, total, progress)
        main = folder / _main_name(hosts)
        before = 0
        files: list[str] = []
        async with PieFile(main, executor) as around, server_data(around):
            for host in hosts:
                name = f"{host.name}.xml"
                count = 0
                async with PieFile(folder / name, executor) as file:
                    async for count in write_host(file, host, to):
                        progress(before + count, max(total, before + count), f"{before + count} accounts")
                before += count
                await include(around, name)
                files.append(f"{folder / name}: {count} accounts")
        return [*files, f"{main}: what import_piefxis is given"]

    async def _export_apart(self, folder: Path, hosts: Sequence[Host], total: int, progress: Progress) -> Answer:
        counts = {True: 0, False: 0}
        for host in hosts:
            async with aclosing(write_apart(folder, self._server.executor, host)) as accounts:
                async for is_written in accounts:
                    counts[is_written] += 1
                    progress(sum(counts.values()), max(total, sum(counts.values())), f"{counts[True]} accounts")
        left = [f"not written: {counts[False]} accounts, whose names are too long for files"] if counts[False] else []
        return [f"{folder}: {counts[True]} accounts, each in a file of its own", *left]

    # -- in -----------------------------------------------------------------------------------------------------------

    async def _import(self, file: Path, overwrite: bool, progress: Progress) -> Answer:
        server = self._server
        portables = [portable for host in self._hosts() for portable in portables_of(host)]
        around = {portable.tag for portable in portables if portable.around}
        known = {SCRAM, *(portable.tag for portable in portables if not portable.around)}
        reader = PieReader(file, around, known)
        bringer = Bringer(server.host, overwrite=overwrite)
        found = iter(reader)
        while things := await server.executor.run(partial(take, found, MOST_THINGS, MOST_CHARACTERS)):
            await bringer.bring(things)
            progress(reader.read, reader.size, f"{bringer.report.accounts} accounts")
        await bringer.finish()
        return bringer.report.lines() or ["there was nothing to take"]


def _main_name(hosts: Iterable[Host]) -> str:
    taken = {f"{host.name}.xml" for host in hosts}
    name = MAIN
    while name in taken:
        name = f"all-{name}"
    return name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_dir():
            raise NotADirectoryError(None, "there is something else of that name")
    except OSError as error:
        raise CommandError(f"{folder} cannot be made: {error.strerror}") from None
