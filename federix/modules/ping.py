"""XEP-0199: XMPP Ping -- answer pings, and find out which clients are gone without having said so."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Literal

from twisted.logger import Logger

from ..api import (
    IQ,
    Condition,
    Element,
    Key,
    Module,
    RequestError,
    Session,
    StanzaError,
    Timer,
    Xep,
    hooks,
    iq_get,
    ns,
    option,
)

log = Logger()

#: A timer that comes early by less than this (seconds) has come in time: clocks round.
_ROUNDING: Final = 0.001


class Watch:
    """What is known of the silence of one session. Times are seconds on the host's clock."""

    __slots__ = ("excused", "pinged", "refused", "session", "timer")

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        #: When its silence was last no fault of its own, and when we last asked it for a stanza.
        self.excused = now
        self.pinged = now
        #: Its client has told us that it does not know pings.
        self.refused = False
        self.timer: Timer | None = None

    @property
    def heard(self) -> float:
        """When its client last sent a stanza (whitespace is none), or might have."""
        return max(self.session.heard, self.excused)


WATCH: Final[Key[Watch]] = Key("mod_ping.watch")


class Ping(Module):
    """Answers pings; with `send_pings` asks clients that have been silent whether they are still there.

    Clients that manage their streams (XEP-0198) are asked for an acknowledgement instead: for these the `ack_timeout`
    of mod_stream_mgmt counts, and one that does not answer loses its connection, whatever `timeout_action` says.
    """

    name = "mod_ping"
    implements = (Xep(199, "2.0.1"),)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_ping."""

        send_pings: bool = option(False, "Ping clients that have been silent.")
        ping_interval: float = option(60.0, "Silence before a client is pinged.", unit="s", minimum=1)
        ping_ack_timeout: float = option(32.0, "How long a client has for its answer.", unit="s", minimum=1)
        timeout_action: Literal["none", "kill"] = option(
            "none", "What to do when no answer comes: nothing, or cut the client's connection."
        )

    options: Options

    # -- pings of others ----------------------------------------------------------------------------------------------

    @iq_get(ns.PING, "ping")
    def answer(self, iq: IQ) -> Awaitable[None] | None:
        """§4.2, §4.3: "If the server supports the ping namespace, it MUST return an IQ-result"."""
        to, sender = iq.to, iq.sender
        assert to is not None and sender is not None
        if not to.local or to.bare == sender.bare:
            return None
        return self._answer_for_account(iq)

    async def _answer_for_account(self, iq: IQ) -> None:
        """§4.4: "a ping sent to a bare JID … will be handled by the server on behalf of the client".

        An account that answers exists, so it answers those who may see its presence. The others get what they would
        get if there were no such account (RFC 6120 §13.11).
        """
        assert iq.to is not None and iq.sender is not None
        if not await self.host.may_see_presence(iq.to, iq.sender):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)

    # -- pings of ours ------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        if self.options.send_pings:
            self._watch_all()

    async def on_stop(self) -> None:
        self._rest()

    def reconfigure(self, old: Options, new: Options) -> None:
        """Timers follow the new options at once; what was heard until now counts."""
        if new.send_pings:
            self._watch_all()
        else:
            self._rest()

    @hooks.sm_register_connection
    def opened(self, session: Session) -> None:
        if self.options.send_pings:
            self._watch(session)

    @hooks.session_detached
    def asleep(self, session: Session) -> None:
        """Nobody is there to be asked: a session that is not resumed ends by itself."""
        watch = session.notes.get(WATCH)
        if watch is not None:
            self._disarm(watch)

    @hooks.session_resumed
    def awake(self, session: Session) -> None:
        """Its client has just been heard, if not in a stanza."""
        watch = session.notes.get(WATCH)
        if watch is not None and self.options.send_pings:
            watch.excused = self.clock.seconds()
            self._watch(session)

    @hooks.sm_remove_connection
    def closed(self, session: Session) -> None:
        """It is this session that ended; another one may have its resource, and its own watch, by now.

        Timer and questions end with the session's scope; session and watch must not keep each other in memory.
        """
        self._forget(session)

    def _watch_all(self) -> None:
        for session in self.host.sessions:
            self._watch(session)

    def _rest(self) -> None:
        for session in self.host.sessions:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        watch = session.notes.pop(WATCH)
        if watch is not None:
            self._disarm(watch)

    def _watch(self, session: Session) -> None:
        watch = session.notes.get(WATCH)
        if watch is None:
            watch = session.notes[WATCH] = Watch(session, self.clock.seconds())
        if not (watch.refused or session.asleep):
            self._arm(watch)

    def _disarm(self, watch: Watch) -> None:
        if watch.timer is not None:
            watch.timer.cancel()

    def _arm(self, watch: Watch) -> None:
        self._disarm(watch)
        # What is asked in the session's scope ends with the session.
        watch.timer = watch.session.scope.later(max(self._silence_left(watch), 0.0), self._tick, watch)

    def _silence_left(self, watch: Watch) -> float:
        """Seconds until the client has been silent for too long."""
        return max(watch.heard, watch.pinged) + self.options.ping_interval - self.clock.seconds()

    def _tick(self, watch: Watch) -> None:
        now = self.clock.seconds()
        if watch.session.attachment.paused:
            watch.excused = now  # It is we who do not listen: this is no silence of the client's.
        if self._silence_left(watch) >= _ROUNDING:
            self._arm(watch)
            return
        watch.pinged = now
        self._arm(watch)
        if watch.session.ask():
            return  # An <r/> is the smaller question, and mod_stream_mgmt says for how long it may stay unanswered.
        asking = watch.session.scope.spawn(self._ask(watch))
        asking.addCallback(lambda silent: self._asked(watch, now) if silent else None)

    async def _ask(self, watch: Watch) -> bool:
        """Ping once; whether the client is silent.

        §4.1, example 1: the ping is from the host, and to the full JID.
        """
        question = Element("ping", ns.PING)
        try:
            await self.host.request("get", watch.session.jid, question, timeout=self.options.ping_ack_timeout)
        except TimeoutError:
            return True
        except RequestError as error:
            # §4.1: "If the client does not support the ping namespace, it MUST return a <service-unavailable/>
            # error". It lives, and it will not know the next ping either.
            if error.condition is Condition.SERVICE_UNAVAILABLE:
                watch.refused = True
                self._disarm(watch)
        except StanzaError:
            pass  # We could not even ask. There will be another time.
        return False

    def _asked(self, watch: Watch, asked: float) -> None:
        """The time for an answer to the ping sent at *asked* is over."""
        session = watch.session
        if session.notes.get(WATCH) is not watch or watch.heard > asked or session.asleep:
            return  # Nobody is to be pinged any more; or it does not answer pings (§6), but it is there.
        if session.attachment.paused:
            # Its answer may be among what we have not read.
            session.scope.later(self.options.ping_ack_timeout, self._asked, watch, asked)
            return
        hooks.user_ping_timeout.run(self.host.chains, session)
        if self.options.timeout_action == "kill":
            log.info("client does not answer pings", session=str(session.jid))
            # A session that may resume sleeps now, and is to be heard anew when it wakes.
            watch.excused = self.clock.seconds()
            session.attachment.abort()
