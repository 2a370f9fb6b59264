"""The runner of dialogues: what it can read, and that what is wrong fails, with its place."""

from __future__ import annotations

import re
import textwrap

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.api import IQ, Module, iq_get
from federix.testing.dialogue import Dialogue, DialogueError, DialogueFailed

PEOPLE = """
    Romeo is romeo@example.org/orchard
    Juliet is juliet@example.org/balcony
    Romeo connects
    Juliet connects
"""
HELLO = """
    Romeo sends:
        <message to='juliet@example.org/balcony' id='m1'><body>Hello</body></message>
"""


def written(*parts: str) -> str:
    return "\n".join(textwrap.dedent(part).strip() for part in parts)


def play(*parts: str) -> None:
    Dialogue.parse(written(*parts), "test").play()


class Echo(Module):
    name = "mod_echo"

    @iq_get("urn:example:echo", "echo")
    def echo(self, iq: IQ) -> None:
        """An empty result."""


class ReadingTests(SynchronousTestCase):
    def refused(self, text: str, why: str) -> None:
        error = self.assertRaises(DialogueError, Dialogue.parse, written(text), "some.dialogue")
        self.assertRegex(str(error), why)

    def test_a_dialogue_is_read_with_the_lines_of_its_steps(self) -> None:
        dialogue = Dialogue.parse(written("# A comment", "Romeo is romeo@example.org", "", "Romeo connects"))
        self.assertEqual([(step.line, step.text) for step in dialogue.steps], [(4, "Romeo connects")])
        self.assertEqual(str(dialogue.people["Romeo"].jid), "romeo@example.org")

    def test_a_person_has_options(self) -> None:
        text = "Romeo is romeo@example.org with tls and with password x and without an account\nRomeo connects"
        person = Dialogue.parse(text).people["Romeo"]
        self.assertEqual((person.tls, person.password, person.account), (True, "x", False))

    def test_a_step_it_does_not_know_is_named_with_its_place(self) -> None:
        self.refused("Romeo is romeo@example.org\nRomeo dances", r"some\.dialogue:2: .*Romeo dances")

    def test_somebody_unknown_is_named_with_his_place(self) -> None:
        self.refused("Tybalt connects", r"some\.dialogue:1: who is Tybalt")

    def test_xml_that_is_none_is_refused_with_its_place(self) -> None:
        for xml in ("<message>", "<message/", "hello", "<a/></b>", "<stream:error>"):
            self.refused(f"Romeo is romeo@example.org\nRomeo sends:\n    {xml}", r"some\.dialogue:2: .*(XML|element)")

    def test_what_lacks_its_xml_is_refused(self) -> None:
        self.refused("Romeo is romeo@example.org\nRomeo sends:\nRomeo connects", r"some\.dialogue:2: something must")

    def test_what_has_xml_it_should_not_have_is_refused(self) -> None:
        self.refused("Romeo is romeo@example.org\nRomeo connects\n    <a/>", r"some\.dialogue:2: nothing may")

    def test_an_address_that_is_none_is_refused(self) -> None:
        self.refused("Romeo is romeo@@example.org\nRomeo connects", r"some\.dialogue:1: .*no address")

    def test_an_option_nobody_knows_is_refused(self) -> None:
        self.refused("Romeo is romeo@example.org with a dagger\nRomeo connects", r"some\.dialogue:1: .*dagger")

    def test_one_name_for_two_is_refused(self) -> None:
        self.refused("A is a@example.org\nA is b@example.org\nA connects", r"some\.dialogue:2: A is somebody already")

    def test_a_configuration_that_is_none_is_refused(self) -> None:
        self.refused("Configuration:\n    [", r"some\.dialogue:1: .*YAML")
        self.refused("Configuration:\n    word", r"some\.dialogue:1: .*options")

    def test_a_dialogue_in_which_nothing_happens_is_refused(self) -> None:
        self.refused("Romeo is romeo@example.org", "nothing happens")

    def test_what_is_indented_below_nothing_is_refused(self) -> None:
        error = self.assertRaises(DialogueError, Dialogue.parse, "   Romeo connects", "d")
        self.assertIn("d:1", str(error))


LINES = (
    "Romeo is romeo@example.org with tls",
    "Juliet is juliet@",
    "Configuration:",
    "  hosts: [example.org]",
    "  - [",
    "Romeo connects",
    "Romeo sends:",
    "Romeo receives in any order:",
    "Romeo cannot connect: why",
    "Romeo's cable is cut",
    "1.5 days pass",
    "    <message id='{id}'><body>*</body></message>",
    "    <message>",
    "    </stream:stream>",
    "    <?xml version='1.0'?>",
    "    <!-- -->",
    "# a comment",
    "",
)


class AnyTextTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from(LINES) | st.text(max_size=30), max_size=8))
    def test_any_text_is_a_dialogue_or_refused_with_its_name(self, lines: list[str]) -> None:
        try:
            dialogue = Dialogue.parse("\n".join(lines), "some.dialogue")
        except DialogueError as error:
            self.assertTrue(str(error).startswith("some.dialogue:"), str(error))
        else:
            self.assertTrue(dialogue.steps)


class PlayingTests(SynchronousTestCase):
    def fails(self, why: str, *parts: str) -> None:
        error = self.assertRaises(DialogueFailed, play, *parts)
        self.assertRegex(str(error), re.compile(why, re.DOTALL))

    def test_a_true_dialogue_passes(self) -> None:
        play(PEOPLE, HELLO, "Juliet receives:\n    <message id='m1'><body>Hello</body></message>")

    def test_a_wrong_value_fails_at_its_line(self) -> None:
        self.fails(
            r"^test:7: Juliet receives.*id is 'm1', not 'm2'", PEOPLE, HELLO, "Juliet receives:\n <message id='m2'/>"
        )

    def test_a_wrong_text_fails(self) -> None:
        self.fails("says", PEOPLE, HELLO, "Juliet receives:\n <message><body>Bye</body></message>")

    def test_a_missing_child_fails(self) -> None:
        self.fails("subject.*missing", PEOPLE, HELLO, "Juliet receives:\n <message><subject/></message>")

    def test_a_value_that_should_not_be_there_fails(self) -> None:
        self.fails("is there", PEOPLE, HELLO, "Juliet receives:\n <message id='-'/>")

    def test_exactly_allows_no_more(self) -> None:
        self.fails("too much", PEOPLE, HELLO, "Juliet receives exactly:\n <message id='*' from='*' to='*'/>")

    def test_a_stanza_that_does_not_come_fails(self) -> None:
        self.fails("^test:5: .*nothing waits", PEOPLE, "Juliet receives:\n <message/>")

    def test_a_second_stanza_that_does_not_come_fails(self) -> None:
        self.fails("nothing waits", PEOPLE, HELLO, "Juliet receives:\n <message/>\n <message/>")

    def test_a_stanza_that_comes_fails_where_nothing_should(self) -> None:
        self.fails("^test:7: Juliet receives nothing", PEOPLE, HELLO, "Juliet receives nothing")
        self.fails("^test:7: Nobody", PEOPLE, HELLO, "Nobody receives anything")

    def test_a_stanza_nobody_speaks_of_fails_at_the_end(self) -> None:
        self.fails("at the end Juliet", PEOPLE, HELLO)

    def test_the_rest_may_be_ignored(self) -> None:
        play(PEOPLE, HELLO, "Juliet ignores the rest")

    def test_the_order_counts_unless_it_is_said_not_to(self) -> None:
        expected = "\n <message id='m2'/>\n <message id='m1'/>"
        both = (PEOPLE, HELLO, HELLO.replace("m1", "m2"))
        self.fails("not 'm2'", *both, f"Juliet receives:{expected}")
        play(*both, f"Juliet receives in any order:{expected}")
        self.fails("received no", *both, f"Juliet receives in any order:{expected}".replace("m2", "m3"))

    def test_a_value_is_remembered_and_used(self) -> None:
        received = "Juliet receives:\n <message id='{id}' from='{who}'><body>{said}</body></message>"
        answer = "Juliet sends:\n <message to='{who}' id='{id}'><body>{said} {Juliet}</body></message>"
        wanted = "<message id='m1'><body>Hello juliet@example.org/balcony</body></message>"
        play(PEOPLE, HELLO, received, answer, f"Romeo receives:\n {wanted}")

    def test_a_remembered_value_must_be_the_same_again(self) -> None:
        once = "Juliet receives:\n <message id='{id}'/>"
        play(PEOPLE, HELLO, once, HELLO, once)
        self.fails("not 'm1'", PEOPLE, HELLO, once, HELLO.replace("m1", "m2"), once)

    def test_one_name_for_two_values_fails(self) -> None:
        self.fails("is both", PEOPLE, HELLO, "Juliet receives:\n <message id='{x}' from='{x}'/>")

    def test_a_name_for_part_of_a_value_fails(self) -> None:
        self.fails("only a whole value", PEOPLE, HELLO, "Juliet receives:\n <message from='romeo@{domain}'/>")

    def test_a_name_that_stands_for_nothing_fails(self) -> None:
        self.fails("nothing is remembered", PEOPLE, "Juliet sends:\n <message id='{id}'/>")

    def test_a_value_is_escaped_where_it_is_used(self) -> None:
        said = HELLO.replace("Hello", "&lt;b/>&amp;")
        play(
            PEOPLE,
            said,
            "Juliet receives:\n <message><body>{said}</body></message>",
            "Juliet sends:\n <message to='{Romeo}'><body>{said}</body></message>",
            "Romeo receives:\n <message><body>&lt;b/>&amp;</body></message>",
        )

    def test_who_is_not_connected_does_nothing(self) -> None:
        self.fails("^test:2: .*not connected", "Romeo is romeo@example.org", "Romeo disconnects")

    def test_who_has_lost_the_connection_says_nothing(self) -> None:
        self.fails("^test:6: .*not connected any more", PEOPLE, "Romeo's cable is cut", HELLO)

    def test_who_is_connected_connects_no_more(self) -> None:
        self.fails("already", PEOPLE, "Romeo connects")

    def test_a_login_that_should_fail_and_does_not_fails(self) -> None:
        self.fails("Romeo is connected", "Romeo is romeo@example.org", "Romeo cannot connect")

    def test_a_login_that_fails_for_another_reason_fails(self) -> None:
        ghost = "Ghost is ghost@example.org without an account"
        self.fails("not-authorized", ghost, "Ghost cannot connect: conflict")
        play(ghost, "Ghost cannot connect: not-authorized")

    def test_a_connection_that_still_stands_fails(self) -> None:
        self.fails("still connected", PEOPLE, "Romeo is disconnected")

    def test_a_cable_that_is_out_carries_nothing(self) -> None:
        play(
            PEOPLE,
            "Juliet's cable is pulled out",
            HELLO,
            "Juliet receives nothing",
            "Juliet's cable is plugged in",
            "Juliet receives:\n <message id='m1'/>",
        )

    def test_time_passes(self) -> None:
        # RFC 6120 §4.6.4: a stream that is silent during negotiation is closed; a session is not.
        play(PEOPLE, "1 second passes", "1.5 minutes pass", "2 hours pass", "Nobody receives anything")

    def test_modules_are_configured(self) -> None:
        text = written(
            "Romeo is romeo@example.org",
            "Configuration:\n    modules:\n      mod_echo: {}",
            "Romeo connects",
            "Romeo sends:\n    <iq type='get' id='1' to='example.org'><echo xmlns='urn:example:echo'/></iq>",
            "Romeo receives:\n    <iq type='result' id='1'/>",
        )
        Dialogue.parse(text).play(own_modules={"mod_echo": Echo})
