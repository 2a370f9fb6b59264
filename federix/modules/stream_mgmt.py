"""XEP-0198: Stream Management -- what is sent is acknowledged, and a session outlives the loss of its connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..api import (
    JID,
    JSON,
    STREAM_MANAGEMENT,
    Json,
    Module,
    StreamManagement,
    Table,
    Xep,
    option,
)

#: Sessions of one account that are over and whose counters are kept.
MOST_REMEMBERED: Final = 20
#: Seconds between two times that old counters are forgotten.
FORGET_EVERY: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Over:
    """A session that is over: how many of its stanzas were settled, and when it ended (seconds since 1970)."""

    h: int
    at: float


def _write(over: Over) -> Json:
    return {"h": over.h, "at": over.at}


def _read(stored: Json) -> Over:
    assert isinstance(stored, dict)
    return Over(int(stored["h"]), float(stored["at"]))


class StreamMgmt(Module):
    """Lets clients manage their streams: both sides say what has arrived, and a client may go on where it was cut off.

    It is the switch, and remembers what must outlive the server; what is said on streams is said by the streams.
    Messages that were sent to a session and not acknowledged when it ends are delivered anew: nothing is lost, but
    another client of the account may get what it has already.
    """

    name = "mod_stream_mgmt"
    implements = (
        Xep(198, "1.6.3", "not inline with SASL2 and Bind 2"),
        Xep(203, "2.0", "for what is sent again"),
    )

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_stream_mgmt."""

        max_ack_queue: int | None = option(
            5000, "How many stanzas may wait for a client to acknowledge them.", minimum=1, infinity=True
        )
        max_ack_queue_size: int | None = option(
            1024 * 1024, "How many bytes of them.", unit="bytes", minimum=1, infinity=True
        )
        resume_timeout: float = option(
            300.0,
            "How long a session waits for its client when its connection is lost; 0: not at all.",
            unit="s",
            minimum=0,
        )
        max_resume_timeout: float | None = option(
            None,
            "How long at most, where a client asks for more or less (default: resume_timeout).",
            unit="s",
            minimum=0,
        )
        ack_timeout: float = option(
            60.0,
            "How long a client has to acknowledge, until its connection is cut.",
            unit="s",
            minimum=1,
            infinity=True,
        )
        resend_on_timeout: Literal["false", "true", "if_offline"] = option(
            "true",
            "Whether messages that were not acknowledged when a session ends are delivered anew, to the account's other"
            " clients or to offline storage; if_offline: where it has no other client. Where they are not, they stay in"
            " the archive, and what is not there goes back to its sender.",
        )
        cache_life_time: float = option(
            48 * 3600.0, "For how long it is remembered how much a session had received.", unit="s", minimum=1
        )

    options: Options

    kept = Table("stream_mgmt", JSON.through(_write, _read))

    async def on_start(self) -> None:
        self.management = StreamManagement(self.host, self.options, self)
        self.scope.spawn(self._forget())
        self.host.notes[STREAM_MANAGEMENT] = self.management
        self.scope.add(self._off)

    def _off(self) -> None:
        self.host.notes.pop(STREAM_MANAGEMENT)
        self.management.close()

    def reconfigure(self, old: Options, new: Options) -> None:
        self.management.reconfigure(new)

    # -- sessions that are over ---------------------------------------------------------------------------------------

    async def remember(self, account: JID, id: str, h: int) -> None:
        """§5: "the server has to store the SM-ID/sequence number tuple past the time out of the actual session"."""
        owner = str(account)
        await self.kept.put(owner, id, Over(h, self.host.now()))
        if await self.kept.count(owner) > MOST_REMEMBERED:
            known = await self.kept.all(owner)
            newest = sorted(known, key=lambda key: known[key].at, reverse=True)
            for number, key in enumerate(newest):
                if number >= MOST_REMEMBERED or self._is_stale(known[key]):
                    await self.kept.remove(owner, key)

    async def _forget(self) -> None:
        """Forget what was counted in sessions that nobody can come back to, now and again and again."""
        self.scope.later(FORGET_EVERY, lambda: self.scope.spawn(self._forget()))
        await self.storage.archives.forget_counted_before(self.host.now() - self.options.cache_life_time)

    async def recall(self, account: JID, id: str) -> int | None:
        """How much of a session that is over was settled; ``None`` where nobody knows."""
        over = await self.kept.get(str(account), id)
        if over is not None:
            return None if self._is_stale(over) else over.h
        # It never ended: the server did. What was archived has been counted with it, in one step.
        counted = await self.storage.archives.counted(id)
        return counted.h if counted is not None and counted.owner == str(account) else None

    def _is_stale(self, over: Over) -> bool:
        return over.at + self.options.cache_life_time < self.host.now()
