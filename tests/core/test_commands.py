"""Commands: declared by a signature, read by it, found by name and by host."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, Literal

from twisted.trial.unittest import SynchronousTestCase

from federix.api import Condition, Module, StanzaError
from federix.core.commands import Command, CommandError, Commands, WrongUse, command
from federix.core.options import Secret
from federix.testing import World


class Shop:
    @command()
    def sell(self, what: str, count: int = 1, colour: Literal["red", "blue"] = "red") -> str:
        """Sell something."""
        return f"{count} {colour} {what}"

    @command("open_door")
    async def enter(self, key: Secret) -> bool:
        """Open the door."""
        return key.reveal() == "sesame"

    @command()
    def refuse(self) -> None:
        """Refuse."""
        raise StanzaError(Condition.NOT_ALLOWED)

    @command()
    def explain(self) -> None:
        """Refuse with a reason."""
        raise StanzaError(Condition.NOT_ALLOWED, "we are closed")

    @command()
    def crash(self) -> None:
        """Have a bug."""
        raise ZeroDivisionError("a secret")

    @command()
    def leave(self) -> None:
        """Take itself for a program."""
        raise SystemExit(3)

    @command()
    def stock(self, kind: Literal["rows", "numbers", "set", "object", "endless"]) -> Any:
        """Show what there is."""
        endless: list[Any] = []
        endless.append(endless)
        return {
            "rows": ({"what": "hat", "left": {1: 2}}, MappingProxyType({"what": "coat"})),
            "numbers": range(3),
            "set": {"hat", "coat"},
            "object": {"shop": [self]},
            "endless": endless,
        }[kind]

    def not_a_command(self) -> None: ...


class Counting(Module):
    name = "mod_counting"

    @command()
    def count_to(self, number: int, host: str) -> list[int]:
        """Count."""
        return [*range(1, number + 1)]

    @command()
    def whose(self, host: str) -> str:
        """Which host answers."""
        return self.host.name


class Careless(Module):
    name = "mod_careless"

    @command()
    def nowhere(self) -> None:
        """Has no argument that says for which host it is."""


class CommandsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.commands = Commands()
        self.commands.add_all(Shop())

    def run_(self, name: str, **arguments: object) -> Any:
        from twisted.internet.defer import ensureDeferred

        return self.successResultOf(ensureDeferred(self.commands.run(name, arguments)))

    def refused(self, name: str, **arguments: object) -> CommandError:
        from twisted.internet.defer import ensureDeferred

        failure = self.failureResultOf(ensureDeferred(self.commands.run(name, arguments)), CommandError)
        assert isinstance(failure.value, CommandError)
        return failure.value

    def test_what_a_command_returns_is_the_answer(self) -> None:
        self.assertEqual(self.run_("sell", what="hat"), "1 red hat")

    def test_a_command_may_wait(self) -> None:
        self.assertIs(self.run_("open_door", key="sesame"), True)

    def test_arguments_are_read_by_their_types(self) -> None:
        self.assertEqual(self.run_("sell", what="hat", count="3", colour="blue"), "3 blue hat")
        self.assertIn("whole number", str(self.refused("sell", what="hat", count="many")))
        self.assertIn("one of red, blue", str(self.refused("sell", what="hat", colour="green")))

    def test_numbers_may_come_as_numbers(self) -> None:
        self.assertEqual(self.run_("sell", what="hat", count=2), "2 red hat")

    def test_what_cannot_be_an_argument_is_wrong_use(self) -> None:
        self.assertIsInstance(self.refused("sell", what=object()), WrongUse)
        for what in ("\0", "\udcff", object()):
            self.assertRegex(str(self.refused("sell", what=what)), "^what: ")

    def test_a_missing_argument_is_named(self) -> None:
        error = self.refused("sell")
        self.assertIsInstance(error, WrongUse)
        self.assertEqual(str(error), "what is missing: sell WHAT [COUNT] [COLOUR]")

    def test_an_unknown_argument_is_refused_with_a_hint(self) -> None:
        self.assertIn("did you mean 'count'", str(self.refused("sell", what="hat", cuont=3)))

    def test_an_unknown_command_is_refused_with_a_hint(self) -> None:
        error = self.refused("sel")
        self.assertIsInstance(error, WrongUse)
        self.assertIn("did you mean 'sell'", str(error))

    def test_a_stanza_error_is_told_in_its_words(self) -> None:
        self.assertEqual(str(self.refused("refuse")), "not allowed")
        self.assertEqual(str(self.refused("explain")), "we are closed")

    def test_a_bug_is_logged_and_tells_nothing(self) -> None:
        self.assertNotIn("secret", str(self.refused("crash")))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_that_would_end_the_program_is_answered_for(self) -> None:
        self.assertIn("its log says what", str(self.refused("leave")))
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_an_answer_is_plain_data(self) -> None:
        self.assertEqual(
            json.dumps(self.run_("stock", kind="rows")), '[{"what": "hat", "left": {"1": 2}}, {"what": "coat"}]'
        )
        self.assertEqual(self.run_("stock", kind="numbers"), [0, 1, 2])

    def test_an_answer_that_is_none_is_a_bug(self) -> None:
        for kind, why in (("set", "stock answers with a set"), ("object", "stock answers with a Shop")):
            self.assertIn("its log says what", str(self.refused("stock", kind=kind)))
            (told,) = self.flushLoggedErrors(TypeError)
            self.assertIn(why, str(told.value))
        self.assertIn("its log says what", str(self.refused("stock", kind="endless")))
        self.assertEqual(len(self.flushLoggedErrors(RecursionError)), 1)

    def test_a_secret_that_is_wrong_is_not_repeated(self) -> None:
        self.assertNotIn("sesame", str(self.refused("open_door", key=["sesame"])))

    def test_a_name_is_taken_once(self) -> None:
        with self.assertRaises(ValueError):
            self.commands.add(Shop().sell)
        with self.assertRaises(ValueError):
            self.commands.add(Shop().sell, "example.org")

    def test_only_what_is_marked_is_a_command(self) -> None:
        self.assertEqual(
            [each.name for each in self.commands], ["crash", "explain", "leave", "open_door", "refuse", "sell", "stock"]
        )

    def test_a_decorator_without_its_brackets_is_an_error(self) -> None:
        with self.assertRaisesRegex(TypeError, r"@command\(\)"):
            command(len)  # type: ignore[arg-type]

    def test_a_description_says_what_is_secret(self) -> None:
        self.assertEqual(
            Command.of(Shop().enter).described(),
            {
                "name": "open_door",
                "doc": "Open the door.",
                "arguments": [{"name": "key", "type": "secret", "required": True, "secret": True}],
            },
        )


class ModuleCommandsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(
            modules={"mod_counting": {}},
            hosts=("example.org", "example.net"),
            own_modules={"mod_counting": Counting, "mod_careless": Careless},
        )
        self.addCleanup(self.world.stop)

    def run_(self, name: str, **arguments: object) -> Any:
        return self.world.run(self.world.server.commands.run(name, arguments))

    def test_a_module_adds_commands_for_its_host(self) -> None:
        self.assertEqual(self.run_("count_to", number=3, host="example.net"), [1, 2, 3])
        self.assertEqual(self.run_("whose", host="Example.NET"), "example.net")
        self.assertEqual(self.run_("whose", host="example.org"), "example.org")

    def test_another_host_does_not_have_it(self) -> None:
        with self.assertRaisesRegex(CommandError, "example.org, example.net"):
            self.run_("whose", host="example.com")

    def test_without_a_host_it_says_so(self) -> None:
        with self.assertRaisesRegex(WrongUse, "host is missing"):
            self.run_("whose")

    def test_commands_leave_with_their_module(self) -> None:
        self.world.run(self.world.server.reload(self.world.configure({**self.world.settings, "modules": {}})))
        with self.assertRaises(WrongUse):
            self.run_("whose", host="example.org")

    def test_a_command_that_names_no_host_does_not_start(self) -> None:
        modules: dict[str, Any] = {"mod_careless": {}}
        with self.assertRaisesRegex(ValueError, "nowhere"):
            self.world.run(self.world.server.reload(self.world.configure({**self.world.settings, "modules": modules})))
