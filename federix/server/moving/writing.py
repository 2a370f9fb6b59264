"""XEP-0227: everything that moves with the accounts of a host, written to a file, a page at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred

from ...core.commands import CommandError
from ...core.host import Host
from ...core.portable import Portable
from ...life.executor import Executor
from ...xmpp import ns
from ...xmpp.element import Element, escape_value
from ...xmpp.jid import JID
from ...xmpp.sasl import PLAIN, ScramKeys
from .keys import keys_element, keys_of

#: Bytes that are gathered before they are written.
GATHERED: Final = 256 * 1024
#: Accounts asked of the database at a time.
PAGE: Final = 1000
#: Bytes of a file's name, of which file systems allow 255, while it is not whole.
MOST_OF_NAME: Final = 255 - len(".part")

_DECLARATION: Final = "<?xml version='1.0' encoding='UTF-8'?>\n"
#: An element of the streams' namespace is written with that prefix.
_NAMESPACES: Final = f"xmlns='{ns.PIE}' xmlns:stream='{ns.STREAMS}'"

Target: TypeAlias = Literal["any", "ejabberd", "prosody"]
"""Who is to read what is written: any server, or one that has its own ways."""


class PieFile:
    """A file that is there, with its name, when it is whole. Nobody else may read it.

    §6: "An exporting server SHOULD make sure that the generated file is not accessible to unauthorized persons, e.g. by
    enforcing strict file permissions."
    """

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._executor = executor
        self._gathered: list[bytes] = []
        self._size = 0
        self._file: Any = None

    async def __aenter__(self) -> PieFile:
        try:
            self._file = await self._executor.run(self._open)
        except OSError as error:
            raise CommandError(f"{self._path} cannot be written: {error.strerror}") from None
        return self

    def _open(self) -> Any:
        if self._path.exists():
            raise FileExistsError(None, "it is there already; choose another directory")
        self._part.unlink(missing_ok=True)
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "wb")

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._flush()
            await self._executor.run(self._close, kind is None)
        except OSError as error:
            raise CommandError(f"{self._path} cannot be written: {error.strerror}") from None

    def _close(self, is_whole: bool) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if is_whole:
            self._part.rename(self._path)
        else:
            self._part.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        """Write this, now or with what follows; raises `CommandError` where that is impossible."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= GATHERED:
            try:
                await self._flush()
            except OSError as error:
                raise CommandError(f"{self._path} cannot be written: {error.strerror}") from None

    async def _flush(self) -> None:
        gathered, self._gathered, self._size = self._gathered, [], 0
        await self._executor.run(self._file.write, b"".join(gathered))


@asynccontextmanager
async def server_data(file: PieFile) -> AsyncIterator[None]:
    """The document around hosts, or what includes their files."""
    await file.write(f"{_DECLARATION}<server-data {_NAMESPACES} xmlns:xi='{ns.XINCLUDE}'>\n".encode())
    yield
    await file.write(b"</server-data>\n")


async def include(file: PieFile, name: str) -> None:
    """§5: "an 'href' attribute containing a relative URI"."""
    await file.write(f"<xi:include href='{escape_value(quote(name))}'/>\n".encode())


async def write_host(file: PieFile, host: Host, to: Target) -> AsyncGenerator[int]:
    """Write a host and its accounts as the document that the file is; tells how many are written, again and again."""
    await file.write(f"{_DECLARATION}<host {_NAMESPACES} jid='{escape_value(host.name)}'>\n".encode())
    count = 0
    async with aclosing(_leaving(host)) as accounts:
        async for leaving in accounts:
            secrets = await leaving.secrets
            if secrets is None:
                continue  # it has gone meanwhile
            async with aclosing(_write_account(file, leaving, secrets, to)) as pages:
                async for _ in pages:
                    yield count
            count += 1
            yield count
    await file.write(b"</host>\n")


async def write_apart(folder: Path, executor: Executor, host: Host) -> AsyncGenerator[bool]:
    """Write each account of a host as a document of its own, under the name that Prosody looks for.

    Tells after each one whether it is written: a file cannot have every name that an account can.
    """
    opening = f"<host jid='{escape_value(host.name)}'>\n".encode()
    async with aclosing(_leaving(host)) as accounts:
        async for leaving in accounts:
            secrets = await leaving.secrets
            name = f"{leaving.account}.xml"
            if secrets is None:
                continue  # it has gone meanwhile
            if len(name.encode()) > MOST_OF_NAME:
                yield False
                continue
            async with PieFile(folder / name, executor) as file, server_data(file):
                await file.write(opening)
                async with aclosing(_write_account(file, leaving, secrets, "prosody")) as pages:
                    async for _ in pages:
                        pass
                await file.write(b"</host>\n")
            yield True


def portables_of(host: Host) -> list[Portable]:
    """All that moves with the accounts of a host, in the order of §9: what is not another's comes first."""
    found = [portable for module in host.running_modules() for portable in module.portables()]
    return sorted(found, key=lambda portable: portable.tag[0] != ns.PIE)


#: Things after which it is told that the writing goes on.
_TOLD_AFTER: Final = 1000
#: Accounts of which the first things are asked for while another is written: a database answers several at once.
AHEAD: Final = 8


class _Leaving:
    """An account of which the first things of each kind are being asked for."""

    def __init__(self, host: Host, name: str, portables: Sequence[Portable]) -> None:
        self.account = JID(name, host.name)
        self.secrets = ensureDeferred(host.accounts.secrets(name))
        self.kinds = [_Kind(portable, portable.leaving(self.account)) for portable in portables]

    async def close(self) -> None:
        """It is not wanted any more."""
        begun: list[Deferred[Any]] = [self.secrets, *(kind.first for kind in self.kinds)]
        await DeferredList(begun, consumeErrors=True)
        for kind in self.kinds:
            await kind.things.aclose()


class _Kind:
    """The things of one kind, and the *first* of them, or None."""

    def __init__(self, portable: Portable, things: AsyncGenerator[Element | bytes]) -> None:
        self.portable = portable
        self.things = things
        self.first = ensureDeferred(self.next())

    async def next(self) -> Element | bytes | None:
        try:
            # Not with a default: in Python 3.11 that cannot wait twice.
            return await anext(self.things)
        except StopAsyncIteration:
            return None


async def _leaving(host: Host) -> AsyncGenerator[_Leaving]:
    """The accounts of a host in their order, each asked for before it is their turn."""
    portables = portables_of(host)
    ahead: deque[_Leaving] = deque()
    after = ""
    try:
        while names := await host.accounts.names(limit=PAGE, after=after):
            for name in names:
                ahead.append(_Leaving(host, name, portables))
                if len(ahead) > AHEAD:
                    yield ahead[0]
                    await ahead.popleft().close()
            after = names[-1]
        while ahead:
            yield ahead[0]
            await ahead.popleft().close()
    finally:
        for leaving in ahead:
            await leaving.close()


async def _write_account(
    file: PieFile, leaving: _Leaving, secrets: Mapping[str, str], to: Target
) -> AsyncGenerator[None]:
    name = leaving.account.local
    password = secrets.get(PLAIN)
    shown = "" if password is None else f" password='{escape_value(password)}'"
    await file.write(f"<user name='{escape_value(name)}'{shown}>\n".encode())
    before_others = [kind for kind in leaving.kinds if kind.portable.tag[0] == ns.PIE]
    for kind in before_others:
        async for _ in _write_things(file, kind):
            yield
    # §4.3: "There may be multiple occurrences of <scram-credentials/> for a single user".
    for keys in _keys_for(to, secrets):
        await file.write(keys_element(keys, twice=to == "ejabberd").to_bytes(ns.PIE) + b"\n")
    for kind in leaving.kinds[len(before_others) :]:
        async for _ in _write_things(file, kind):
            yield
    await file.write(b"</user>\n")


async def _write_things(file: PieFile, kind: _Kind) -> AsyncGenerator[None]:
    portable = kind.portable
    namespace, name = portable.tag
    default = namespace if portable.around else ns.PIE
    thing = await kind.first
    if thing is None:
        return
    if portable.around:
        declared = "" if namespace == ns.PIE else f" xmlns='{namespace}'"
        await file.write(f"<{name}{declared}>\n".encode())
    count = 0
    while thing is not None:
        count += 1
        await file.write((thing if isinstance(thing, bytes) else thing.to_bytes(default)) + b"\n")
        if not count % _TOLD_AFTER:
            yield
        thing = await kind.next()
    if portable.around:
        await file.write(f"</{name}>\n".encode())


def _keys_for(to: Target, secrets: Mapping[str, str]) -> Sequence[ScramKeys]:
    if to == "ejabberd":
        # COMPAT(ejabberd 23.01): it reads one set of keys, and none where there is a password.
        return [] if PLAIN in secrets else keys_of(secrets)[:1]
    return keys_of(secrets)
