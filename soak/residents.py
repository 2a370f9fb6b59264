"""Those who stay: each writes to the others all the time, and what is written must arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from federix.xmpp import ns
from federix.xmpp.element import Element, escape_text

from . import people
from .client import PATIENCE, Client, Wrong
from .findings import Findings
from .ledger import Ledger
from .login import Manner, Ports, log_in

#: Bytes of a message's text, from and to.
SIZES: Final = (1024, 20 * 1024)
#: What texts are made of; some of it must be escaped, some is more than one byte.
_WORDS: Final = (
    "here",
    "there",
    "<b>",
    "&amp;",
    "]]>",
    "'quoted'",
    '"so"',
    "grün",
    "日本",
    "🙂",
    "and",
    "then",
    "what",
)
_ROSTER: Final = f"<query xmlns='{ns.ROSTER}'/>"


class Resident:
    """One account that is logged in nearly all of the time."""

    def __init__(self, number: int, residents: int, ports: Ports, ledger: Ledger, findings: Findings) -> None:
        self.name = people.resident(number)
        self.jid = people.full(self.name)
        self.bare = people.bare(self.name)
        self.contacts = people.contacts(number, residents)
        self.client: Client | None = None
        #: Whether everybody may write to it.
        self.here = False
        #: How many things are under way for which it must stay.
        self.uses = 0
        self.keeps_private = False
        self._ports = ports
        self._ledger = ledger
        self._findings = findings
        self._waiting: dict[tuple[str, str], asyncio.Future[Element]] = {}

    async def arrive(self, random: Random) -> None:
        """Log in, and be there for the others when this returns. Raises `Wrong`, `Ended`."""
        manner = Manner("starttls", "SCRAM-SHA-256") if random.random() < 0.8 else Manner.any(random)
        client = await log_in(self._ports, self.name, people.PASSWORD, manner)
        if client.jid != self.jid:
            client.cut()
            raise Wrong(f"{self.jid} was bound as {client.jid}")
        client.heard = self._heard
        self.client = client
        # RFC 6121 §2.2: who has asked for the roster hears of subscriptions.
        await client.result("get", _ROSTER)
        client.send("<presence/>")
        # By the answer to this the server has seen our presence.
        await client.result("get", f"<ping xmlns='{ns.PING}'/>")
        self.here = True

    @property
    def connected(self) -> Client:
        if self.client is None:
            raise Wrong(f"{self.name} is not there")
        return self.client

    def watch(self) -> None:
        """Notice that the server has put it out."""
        client = self.client
        if self.here and client is not None and client.over.is_set():
            self.here = False
            self.client = None
            self._findings.problem(f"{self.name} was put out: {client.condition}")
        elif client is not None and client.wrong is not None:
            self._findings.problem(client.wrong)
            client.wrong = None

    # -- writing ------------------------------------------------------------------------------------------------------

    def write_to(self, other: Resident, random: Random) -> None:
        """A chat message, to the full or to the bare JID."""
        text = _text(random)
        number = self._ledger.post((self.name, other.name, "message"), text)
        to = other.jid if random.random() < 0.6 else other.bare
        self.connected.send(
            f"<message to='{to}' type='chat' id='m{number}'><body>{number} {escape_text(text)}</body></message>"
        )

    def broadcast(self, everybody: dict[str, Resident], random: Random) -> None:
        """Presence to all contacts; those that are there must get it."""
        text = random.choice(_WORDS) * random.randint(1, 20)
        show = random.choice(("", "<show>away</show>", "<show>chat</show>"))
        # All of them get one stanza: it has the number of each in it.
        numbers = {
            name: self._ledger.post((self.name, name, "presence"), text)
            for name in self.contacts
            if everybody[name].here
        }
        told = ",".join(f"{name}={number}" for name, number in numbers.items())
        self.connected.send(f"<presence>{show}<status>{told} {escape_text(text)}</status></presence>")

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _heard(self, element: Element) -> None:
        sender = (element.get("from") or "").partition("@")[0]
        kind = element.get("type")
        if element.name == "presence":
            waiting = self._waiting.pop((kind or "available", sender), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(element)
            status = element.text_of(ns.CLIENT, "status")
            if kind is None and status and sender.startswith("r"):
                numbers, _, text = status.partition(" ")
                for part in numbers.split(","):
                    name, _, number = part.partition("=")
                    if name == self.name:
                        self._tell(self._ledger.arrived((sender, name, "presence"), int(number), text, may_repeat=True))
            return
        if element.name != "message":
            return
        if kind == "error":
            waiting = self._waiting.pop(("error", element.get("id") or ""), None)
            if waiting is None:
                self._findings.problem(f"{self.name} got an error nobody caused: {element.to_xml()[:400]}")
            elif not waiting.done():
                waiting.set_result(element)
            return
        body = element.text_of(ns.CLIENT, "body") or ""
        if not sender.startswith("r"):
            self._answer_visitor(element, body)
            return
        number, _, text = body.partition(" ")
        self._tell(self._ledger.arrived((sender, self.name, "message"), int(number) if number.isdigit() else -1, text))

    def _answer_visitor(self, element: Element, body: str) -> None:
        self.connected.send(
            f"<message to='{element.get('from')}' type='chat' id='{element.get('id')}'>"
            f"<body>{escape_text(body)}</body></message>"
        )

    def _tell(self, problem: str | None) -> None:
        if problem is not None:
            self._findings.problem(problem)

    def expect(self, kind: str, sender: str) -> asyncio.Future[Element]:
        """The next presence of that type from *sender*, or the error to the message with that id."""
        future: asyncio.Future[Element] = asyncio.get_running_loop().create_future()
        self._waiting[(kind, sender)] = future
        return future

    async def due(self, future: asyncio.Future[Element], what: str) -> Element:
        try:
            return await asyncio.wait_for(future, PATIENCE)
        except TimeoutError:
            raise Wrong(f"{self.name}: {what} has not come after {PATIENCE:g} s") from None

    # -- going --------------------------------------------------------------------------------------------------------

    async def quiet(self) -> bool:
        """Ask everybody to leave it alone, and wait until nothing is on its way; False where something stays."""
        self.here = False
        return await _until(lambda: self.uses == 0 and not self._ledger.concerning(self.name))

    async def go(self, random: Random) -> None:
        """Leave in one way or another; nothing must be on its way."""
        client, self.client = self.client, None
        self._waiting.clear()
        if client is None:
            return
        match random.randrange(4):
            case 0:
                client.cut()
            case 1:
                client.reset()
            case 2:
                client.send("<presence type='unavailable'/>")
                await client.leave()
            case _:
                await client.leave()

    async def check_roster(self) -> None:
        """At the end the roster must be what it was. Raises `Wrong`."""
        answer = await self.connected.result("get", _ROSTER)
        query = answer.child(ns.ROSTER, "query")
        assert query is not None
        items = query.children_of(ns.ROSTER, "item")
        found = sorted((item.get("jid"), item.get("subscription")) for item in items)
        wanted = sorted((people.bare(name), "both") for name in self.contacts)
        if found != wanted:
            raise Wrong(f"{self.name}: its roster is not what it was: {found}")


def _text(random: Random) -> str:
    size = random.randint(*SIZES) if random.random() < 0.3 else random.randint(10, SIZES[0])
    words = " ".join(random.choices(_WORDS, k=12))
    return (words * (size // len(words) + 1))[:size].rstrip()


async def _until(true: Callable[[], bool]) -> bool:
    for _ in range(int(PATIENCE / 0.1)):
        if true():
            return True
        await asyncio.sleep(0.1)
    return False
