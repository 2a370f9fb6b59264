"""The cable, with a server that sends back what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twisted.trial.unittest import SynchronousTestCase

from bench.process import LOOPBACK
from faults.cable import Cable

#: Seconds in which what is to come has come, and after which nothing does any more.
SOON = 10.0
NEVER = 0.2

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class CableTests(SynchronousTestCase):
    def using(self, test: Callable[[Cable, Ends], Awaitable[None]]) -> None:
        async def use() -> None:
            server = await asyncio.start_server(_echo, LOOPBACK, 0)
            cable = Cable(server.sockets[0].getsockname()[1])
            await cable.open()
            ends = await asyncio.open_connection(LOOPBACK, cable.port)
            try:
                async with asyncio.timeout(SOON):
                    await test(cable, ends)
            finally:
                ends[1].close()
                await cable.close()
                server.close()
                await asyncio.sleep(0.05)

        asyncio.run(use())

    async def nothing_comes(self, reader: asyncio.StreamReader) -> None:
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(reader.read(1), NEVER)

    def test_what_is_said_gets_through_both_ways(self) -> None:
        async def test(cable: Cable, ends: Ends) -> None:
            ends[1].write(b"hello")
            self.assertEqual(await ends[0].readexactly(5), b"hello")

        self.using(test)

    def test_a_cut_line_is_silent_and_open(self) -> None:
        async def test(cable: Cable, ends: Ends) -> None:
            ends[1].write(b"hello")
            await ends[0].readexactly(5)
            lines = cable.cut()
            ends[1].write(b"hello")
            await self.nothing_comes(ends[0])
            for line in lines:
                line.drop()
            with self.assertRaises((asyncio.IncompleteReadError, ConnectionResetError)):
                await ends[0].readexactly(1)

        self.using(test)

    def test_others_connect_while_a_line_is_cut(self) -> None:
        async def test(cable: Cable, ends: Ends) -> None:
            ends[1].write(b"hello")
            await ends[0].readexactly(5)
            cable.cut()
            reader, writer = await asyncio.open_connection(LOOPBACK, cable.port)
            writer.write(b"again")
            self.assertEqual(await reader.readexactly(5), b"again")
            writer.close()

        self.using(test)

    def test_a_stalled_line_goes_on_without_loss(self) -> None:
        async def test(cable: Cable, ends: Ends) -> None:
            ends[1].write(b"hello")
            await ends[0].readexactly(5)
            lines = cable.stall()
            sent = bytes(range(256)) * 20_000
            ends[1].write(sent)
            await self.nothing_comes(ends[0])
            for line in lines:
                line.go_on()
            self.assertEqual(await ends[0].readexactly(len(sent)), sent)

        self.using(test)

    def test_a_server_that_is_not_there_is_noticed(self) -> None:
        async def test(cable: Cable, ends: Ends) -> None:
            gone = Cable(1)
            await gone.open()
            reader, writer = await asyncio.open_connection(LOOPBACK, gone.port)
            with self.assertRaises((asyncio.IncompleteReadError, ConnectionResetError)):
                await reader.readexactly(1)
            writer.close()
            await gone.close()

        self.using(test)
