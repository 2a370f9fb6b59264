"""Moderation: a web service is asked about each message, and what it does not allow goes back to its sender."""

import json
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from federix.api import (
    AccessRule,
    Condition,
    ErrorType,
    Message,
    Module,
    Outcome,
    Session,
    Slot,
    Stanza,
    StanzaError,
    hooks,
    option,
)

log = Logger()


class Moderate(Module):
    name = "mod_moderate"

    @dataclass(frozen=True)
    class Options(Module.Options):
        url: str = option("http://127.0.0.1:8080/", 'Is sent {"from": …, "body": …}, and answers {"allowed": true}.')
        patience: float = option(3.0, "How long to wait for the answer.", unit="s", minimum=0.1, maximum=30)
        trusted: AccessRule = option(AccessRule("none"), "Whose messages are not asked about.")

    options: Options

    async def on_start(self) -> None:
        # The server has few threads, and logins need them, too: no more than two at a time are ours.
        self.places = DeferredSemaphore(tokens=2)

    @hooks.user_send_packet.at(Slot.CHECK)
    async def check(self, session: Session, stanza: Stanza) -> Outcome:
        """While it waits nothing more is read from this client, so that its messages stay in order."""
        if not isinstance(stanza, Message) or not stanza.body or self.host.allows(self.options.trusted, session.jid):
            return None
        try:
            answer = await self.places.run(self.ask, {"from": str(session.jid.bare), "body": stanza.body})
        except (OSError, HTTPException, ValueError) as error:
            log.warn("the moderation service does not answer: {error}", error=error)
            raise StanzaError(Condition.SERVICE_UNAVAILABLE, "Try again later.", ErrorType.WAIT) from None
        if not answer:
            raise StanzaError(Condition.POLICY_VIOLATION, "This is not said here.")
        return None

    def ask(self, question: dict[str, str]) -> Deferred[bool]:
        """What blocks runs in a thread. There it must touch nothing of the server, so it is no method."""
        return self.host.server.executor.run(ask, self.options.url, question, self.options.patience)


def ask(url: str, question: dict[str, str], patience: float) -> bool:
    """What the service says; raises OSError, HTTPException or ValueError where that is nothing, or nonsense."""
    request = Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=patience) as answer:
        found: Any = json.loads(answer.read(65536))
    if not isinstance(found, dict) or not isinstance(found.get("allowed"), bool):
        raise ValueError("neither allowed nor forbidden")
    return found["allowed"] is True
