"""A module declares itself once: what that sets going, and what goes with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import HANDLED, IQ, JID, Element, Module, Outcome, Session, Stanza, hooks, iq_get, on_demand
from federix.core.module import declared
from federix.testing import World

from .support import Gate, WorldTestCase, condition

NS = "urn:example:module"
ROMEO = "romeo@example.org/orchard"
QUESTION = f"<iq type='get' id='1' to='example.org'><question xmlns='{NS}'/></iq>"


class Base(Module):
    """What modules may share."""

    name = "mod_base"

    @iq_get(NS, "question")
    def answer(self, iq: IQ) -> Element:
        return Element("base", NS)

    @hooks.user_send_packet
    def check(self, session: Session, stanza: Stanza) -> Outcome:
        return HANDLED if stanza.id == "swallow" else None


class Derived(Base):
    name = "mod_derived"

    @iq_get(NS, "other")
    def other(self, iq: IQ) -> None: ...

    @hooks.sm_register_connection
    def came(self, session: Session) -> None: ...


class Overriding(Base):
    name = "mod_overriding"

    @iq_get(NS, "question")
    def answer(self, iq: IQ) -> Element:
        return Element("overridden", NS)


class Silencing(Base):
    """Takes a handler back by overriding it without its decorator."""

    name = "mod_silencing"

    def answer(self, iq: IQ) -> Element:
        return Element("silenced", NS)


class Busy(Module):
    """Owns something of every kind."""

    name = "mod_busy"

    async def on_start(self) -> None:
        self.heard: list[str] = []
        self.gate = Gate()
        self.scope.later(10, self.heard.append, "timer")
        self.scope.spawn(self.work())
        self.scope.add(lambda: self.heard.append("undone"))

    async def work(self) -> None:
        try:
            await self.gate.wait()
        finally:
            self.heard.append("task ended")

    @hooks.user_sent_packet
    def watch(self, session: Session, stanza: Stanza) -> None:
        self.heard.append(stanza.kind)

    @iq_get(NS, "question")
    def answer(self, iq: IQ) -> None: ...


class Idle(Module):
    """Listens only while it is told to."""

    name = "mod_idle"

    async def on_start(self) -> None:
        self.heard: list[str] = []

    @on_demand
    @hooks.user_sent_packet
    def watch(self, session: Session, stanza: Stanza) -> None:
        self.heard.append(stanza.kind)


class Waiting(Module):
    """Takes its time to start, where it has a gate."""

    name = "mod_waiting"
    gate: Gate | None = None

    async def on_start(self) -> None:
        if self.gate is not None:
            await self.gate.wait()

    @hooks.user_sent_packet
    def watch(self, session: Session, stanza: Stanza) -> None: ...


class FailsToRegister(Module):
    name = "mod_fails"

    async def on_stop(self) -> None:
        self.host.fails_stopped = True  # type: ignore[attr-defined]

    @hooks.user_sent_packet
    def watch(self, session: Session, stanza: Stanza) -> None: ...

    @iq_get(NS, "question")
    def answer(self, iq: IQ) -> None: ...


CLASSES: list[type[Module]] = [Base, Derived, Overriding, Silencing, Busy, Idle, Waiting, FailsToRegister]


class ModuleTests(WorldTestCase):
    def arrange(self, *classes: type[Module], **options: Any) -> World:
        own = {cls.name: cls for cls in CLASSES}
        self.world = self.new_world(modules={cls.name: {} for cls in classes}, own_modules=own, **options)
        return self.world

    def asked(self) -> str:
        """The name of the payload that answers `QUESTION`, or the condition of the error."""
        romeo = self.world.client(ROMEO)
        answer = romeo.request(QUESTION)
        payload = answer.first()
        return condition(answer) if answer.get("type") == "error" else payload.name if payload else ""

    def test_handlers_are_registered_in_the_order_they_are_written_base_classes_first(self) -> None:
        self.assertEqual(declared(Derived), ["answer", "check", "other", "came"])
        self.assertEqual(declared(Base), ["answer", "check"])

    def test_a_module_inherits_the_handlers_of_its_base(self) -> None:
        self.arrange(Derived)
        self.assertEqual(self.asked(), "base")

    def test_an_overridden_handler_takes_the_place_of_the_first(self) -> None:
        self.arrange(Overriding)
        self.assertEqual(self.asked(), "overridden")

    def test_a_handler_overridden_without_its_decorator_is_none(self) -> None:
        self.arrange(Silencing)
        self.assertEqual(self.asked(), "service-unavailable")

    def test_all_it_owns_ends_with_it(self) -> None:
        world = self.arrange(Busy)
        host = world.host("example.org")
        module = host.module(Busy)
        romeo = world.client(ROMEO)
        romeo.send("<message to='example.org' type='headline'/>")
        self.assertEqual(module.heard, ["message"])
        world.run(host.modules.remove("mod_busy"))
        self.assertEqual(sorted(module.heard), ["message", "task ended", "undone"])
        romeo.send("<message to='example.org' type='headline'/>")
        self.assertEqual(condition(romeo.request(QUESTION)), "service-unavailable")
        world.advance(60)
        self.assertEqual(len(module.heard), 3)
        self.assertEqual(len(module.scope), 0)
        self.assertEqual(host.chains.of(hooks.user_sent_packet), ())
        self.assertIsNone(host.find(Busy))

    def test_a_handler_on_demand_is_in_its_chains_only_while_the_module_listens(self) -> None:
        world = self.arrange(Idle)
        host = world.host("example.org")
        module, romeo = host.module(Idle), world.client(ROMEO)
        self.assertEqual(host.chains.of(hooks.user_sent_packet), ())
        for _ in range(2):
            stop_listening = module.listen(module.watch)
            romeo.send("<message to='example.org' type='headline'/>")
            stop_listening()
            stop_listening()
            romeo.send("<presence to='example.org'/>")
        self.assertEqual(module.heard, ["message", "message"])
        self.assertEqual((host.chains.of(hooks.user_sent_packet), len(module.scope)), ((), 0))

    def test_a_handler_on_demand_goes_with_its_module(self) -> None:
        world = self.arrange(Idle)
        host = world.host("example.org")
        host.module(Idle).listen(host.module(Idle).watch)
        world.run(host.modules.remove("mod_idle"))
        self.assertEqual(host.chains.of(hooks.user_sent_packet), ())

    def test_a_module_may_come_back(self) -> None:
        world = self.arrange(Busy)
        host = world.host("example.org")
        for _ in range(3):
            options = host.module(Busy).options
            world.run(host.modules.remove("mod_busy"))
            world.run(host.modules.add(Busy(host, options)))
        self.assertEqual(len(host.chains.of(hooks.user_sent_packet)), 1)
        self.assertEqual(self.asked(), "")

    def test_one_that_is_started_by_two_has_its_handlers_once(self) -> None:
        world = self.arrange(Waiting)
        host = world.host("example.org")
        module = host.module(Waiting)
        for _ in range(2):
            world.run(module.start())
            self.assertEqual(len(host.chains.of(hooks.user_sent_packet)), 1)
            world.run(module.stop())
            module.gate = Gate()
            starts = [ensureDeferred(module.start()) for _ in range(2)]
            module.gate.open()
            for start in starts:
                self.successResultOf(start)

    def test_one_that_cannot_register_all_of_its_handlers_registers_none(self) -> None:
        world = self.arrange(Base)
        host = world.host("example.org")
        module = FailsToRegister(host, Module.Options())
        self.assertRaises(ValueError, world.run, host.modules.add(module))
        self.assertTrue(host.fails_stopped)  # type: ignore[attr-defined]
        self.assertEqual(host.chains.of(hooks.user_sent_packet), ())
        self.assertIsNone(host.find(FailsToRegister))
        self.assertEqual(self.asked(), "base")

    def test_each_host_has_an_instance_of_its_own(self) -> None:
        world = self.arrange(Busy, hosts=("example.org", "verona.example"))
        here, there = world.host("example.org").module(Busy), world.host("verona.example").module(Busy)
        self.assertIsNot(here, there)
        world.client(ROMEO).send("<message to='verona.example' type='headline'/>")
        self.assertEqual((here.heard, there.heard), (["message"], []))

    def test_modules_meet_by_their_class(self) -> None:
        host = self.arrange(Base).host("example.org")
        self.assertIsInstance(host.module(Base), Base)
        self.assertIsNone(host.find(Busy))
        error = self.assertRaises(KeyError, host.module, Busy)
        self.assertIn("mod_busy does not run on example.org", str(error))

    def test_a_module_finds_its_surroundings(self) -> None:
        world = self.arrange(Base)
        module = world.host("example.org").module(Base)
        self.assertIs(module.storage, world.server.storage)
        self.assertIs(module.clock, world.clock)
        self.assertEqual(module.host.jid, JID.parse("example.org"))
        before = module.host.now()
        world.advance(5)
        self.assertEqual(module.host.now() - before, 5)


@skipUnless(find_spec("mypy") and find_spec("mypy_zope"), "mypy and mypy-zope, of the extra 'dev', are not installed")
class TypeCheckerTests(SynchronousTestCase):
    """Slow: runs mypy, for some seconds. A wrong handler must be an error on its own line, not somewhere else."""

    SNIPPET = """
    from federix.api import HANDLED, IQ, JID, Element, Message, Module, Outcome, Session, Stanza, hooks, iq_get

    class Right(Module):
        name = "mod_right"

        @iq_get("urn:x", "x")
        def x(self, iq: IQ) -> Element: return Element("x", "urn:x")

        @iq_get("urn:x", "y")
        async def y(self, iq: IQ) -> None: ...

        @hooks.user_send_packet
        def send(self, session: Session, stanza: Stanza) -> Outcome: return HANDLED

        @hooks.user_send_packet
        async def later(self, session: Session, stanza: Stanza) -> Outcome: return stanza

        @hooks.offline_message
        def offline(self, account: JID, stanza: Message) -> Outcome: return None

        @hooks.sm_register_connection
        def came(self, session: Session) -> None: ...

        @hooks.user_send_packet.only(IQ)
        def asked(self, session: Session, stanza: IQ) -> Outcome: return None

        @hooks.user_sent_packet.only(IQ)
        def heard(self, session: Session, stanza: IQ) -> None: ...

    class Wrong(Module):
        name = "mod_wrong"

        @iq_get("urn:x", "x")  # wrong: the answer
        def x(self, iq: IQ) -> int: return 1

        @iq_get("urn:x", "y")  # wrong: what is asked
        def y(self, session: Session) -> None: ...

        @hooks.user_send_packet  # wrong: the subject
        def send(self, account: JID, stanza: Stanza) -> Outcome: return None

        @hooks.user_send_packet  # wrong: the outcome
        def outcome(self, session: Session, stanza: Stanza) -> bool: return True

        @hooks.sm_register_connection  # wrong: too many arguments
        def came(self, session: Session, stanza: Stanza) -> None: ...

        @hooks.user_send_packet.only(Message)  # wrong: the kind
        def asked(self, session: Session, stanza: IQ) -> Outcome: return None

        @hooks.user_sent_packet.only(Message)  # wrong: the kind
        def heard(self, session: Session, stanza: IQ) -> None: ...

        @hooks.sm_remove_connection  # wrong: nobody asks for an outcome
        def went(self, session: Session) -> Outcome: return HANDLED

        @hooks.sm_remove_connection  # wrong: nor when it waits
        async def left(self, session: Session) -> bool: return True

        @hooks.disco_local_features  # wrong: the items
        def feature(self, who: JID, node: str) -> list[int]: return [1]
    """

    def test_a_wrong_handler_is_an_error_on_its_own_line(self) -> None:
        directory = tempfile.mkdtemp(prefix="federix-")
        self.addCleanup(shutil.rmtree, directory)
        snippet = Path(directory) / "snippet.py"
        text = textwrap.dedent(self.SNIPPET)
        snippet.write_text(text)
        root = Path(__file__).parents[2]
        # Errors in the snippet alone; what is known of the rest is kept from one run to the next.
        checked = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(snippet)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=240,
        )
        errors = {int(line.split(":")[1]) for line in checked.stdout.splitlines() if "snippet.py" in line}
        wrong = {number for number, line in enumerate(text.splitlines(), 1) if "# wrong" in line}
        self.assertEqual(errors, wrong, checked.stdout + checked.stderr)
