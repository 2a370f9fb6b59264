"""The option system: one expression declares, reads and documents an option."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.core.access import AccessRule, ShaperRule
from federix.core.options import (
    ConfigErrors,
    HostPattern,
    Options,
    Reader,
    Secret,
    describe,
    in_force,
    node_of,
    option,
    read,
    written,
)
from federix.core.options.reader import type_name
from federix.xmpp.jid import JID


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner(Options):
    depth: int = option(1, "How deep.", minimum=0)


@dataclass(frozen=True)
class Example(Options):
    on: bool = option(False, "Whether.")
    count: int = option(3, "How many.", minimum=1, maximum=10)
    factor: float = option(1.5, "How much.")
    interval: float = option(60.0, "How often.", unit="s", minimum=1, infinity=True)
    whole: int = option(5, "How long.", unit="s")
    size: int = option(1024, "How big.", unit="bytes")
    limit: int | None = option(None, "At most.", unit="bytes", infinity=True)
    name: str = option("x", "Who.")
    title: str | None = option(None, "What to call it.")
    action: Literal["none", "kill"] = option("none", "What to do.")
    required: Literal[False, "optional", True] = option(False, "Whether to insist.")
    colour: Colour = option(Colour.RED, "Which.")
    words: list[str] = option([], "Which ones.")
    numbers: tuple[int, ...] = option((), "Which numbers.", minimum=1)
    table: dict[str, int] = option({}, "By name.")
    inner: Inner = option(Inner(), "More.")
    inners: dict[str, Inner] = option({}, "More of it.")
    either: int | Literal["many"] = option(1, "A number or many.")
    password: Secret = option(Secret(""), "The key.")
    host: HostPattern = option(HostPattern("conference.@HOST@"), "Where.")
    owner: JID | None = option(None, "Whose.")
    access: AccessRule = option(AccessRule("all"), "Who may.")
    shaper: ShaperRule = option(ShaperRule("none"), "How fast.")


def reasons(values: dict[str, object], cls: type[Options] = Example) -> list[str]:
    try:
        read(cls, values)
    except ConfigErrors as errors:
        return [f"{problem.path}: {problem.why}" for problem in errors.problems]
    return []


class Reading(SynchronousTestCase):
    def test_nothing_written_gives_the_defaults(self) -> None:
        self.assertEqual(read(Example, None), Example())
        self.assertEqual(read(Example, {}), Example())

    def test_each_type_is_read(self) -> None:
        found = read(
            Example,
            {
                "on": "yes",
                "count": "7",
                "factor": 2,
                "interval": "5 min",
                "whole": "1 hour",
                "size": "10 MiB",
                "limit": "64 kB",
                "name": "no",
                "action": "kill",
                "required": "optional",
                "colour": "blue",
                "words": ["a", "b"],
                "numbers": [1, 2],
                "table": {"a": 1},
                "inner": {"depth": 4},
                "inners": {"x": {"depth": 5}},
                "either": "many",
                "password": "open sesame",
                "host": "Muc.@HOST@",
                "owner": "Alice@Example.org",
                "access": [{"allow": {"user": "alice@example.org"}}],
                "shaper": "fast",
            },
        )
        self.assertEqual((found.on, found.count, found.factor, found.name), (True, 7, 2.0, "no"))
        self.assertEqual((found.interval, found.whole, found.size, found.limit), (300.0, 3600, 10485760, 64000))
        self.assertEqual((found.action, found.required, found.colour), ("kill", "optional", Colour.BLUE))
        self.assertEqual((found.words, found.numbers, found.table), (["a", "b"], (1, 2), {"a": 1}))
        self.assertEqual((found.inner, found.inners, found.either), (Inner(4), {"x": Inner(5)}, "many"))
        self.assertEqual(found.password.reveal(), "open sesame")
        self.assertEqual(found.host.of("example.org"), "muc.example.org")
        self.assertEqual(found.owner, JID("alice", "example.org"))
        self.assertEqual((found.access.name, len(found.access.clauses), found.shaper.name), ("", 1, "fast"))

    def test_durations_have_units(self) -> None:
        for text, seconds in [
            ("1500 ms", 1.5), ("90", 90), ("90 s", 90), ("2m", 120), ("2 minutes", 120), ("1 h", 3600),
            ("1.5 hours", 5400), ("2 days", 172800), ("infinity", math.inf),
        ]:  # fmt: skip
            self.assertEqual(read(Example, {"interval": text}).interval, seconds, text)

    def test_a_value_alone_counts_as_a_list_of_one(self) -> None:
        self.assertEqual(read(Example, {"words": "a", "numbers": 4}), Example(words=["a"], numbers=(4,)))

    def test_a_list_of_maps_counts_as_one_map(self) -> None:
        self.assertEqual(read(Example, {"table": [{"a": 1}, {"b": 2}]}).table, {"a": 1, "b": 2})

    def test_nothing_and_infinity_are_none_where_there_may_be_none(self) -> None:
        found = read(Example, {"limit": "infinity", "title": None, "owner": "none"})
        self.assertEqual((found.limit, found.title, found.owner), (None, None, None))

    def test_infinity_is_refused_where_it_is_not_allowed(self) -> None:
        self.assertEqual(len(reasons({"count": "infinity", "factor": "infinity", "whole": "infinity"})), 3)

    def test_defaults_that_can_change_are_not_shared(self) -> None:
        self.assertIsNot(read(Example, None).words, read(Example, None).words)


class Complaining(SynchronousTestCase):
    def test_everything_wrong_is_told_at_once(self) -> None:
        found = reasons({"on": "perhaps", "count": 11, "interval": "5 parsecs", "numbers": [0, 1, "x"]})
        self.assertEqual(
            [reason.split(":")[0] for reason in found], ["on", "count", "interval", "numbers[0]", "numbers[2]"]
        )

    def test_bounds_are_named(self) -> None:
        self.assertEqual(reasons({"count": 0}), ["count: must be at least 1, not '0'"])
        self.assertEqual(reasons({"count": 11}), ["count: must be at most 10, not '11'"])

    def test_an_unknown_option_gets_a_hint(self) -> None:
        self.assertEqual(reasons({"intervall": 1}), ["intervall: unknown option, did you mean 'interval'?"])

    def test_a_wrong_word_gets_a_hint(self) -> None:
        self.assertEqual(
            reasons({"action": "kil"}), ["action: must be one of none, kill, not 'kil', did you mean 'kill'?"]
        )

    def test_a_number_with_a_leading_zero_is_refused(self) -> None:
        self.assertEqual(reasons({"count": "07"}), ["count: must be a whole number, not '07'"])

    def test_a_secret_is_in_no_message(self) -> None:
        self.assertNotIn("hunter2", "".join(reasons({"password": ["hunter2"]})))
        options = Example(password=Secret("hunter2"))
        self.assertNotIn("hunter2", repr(options) + str(in_force(options)) + str(options.password))

    def test_an_option_known_elsewhere_is_a_warning(self) -> None:
        reader = Reader()
        reader.read(Inner, node_of({"db_type": "sql"}), "modules.x", {"db_type": "is not supported"})
        self.assertEqual(reader.errors, [])
        self.assertEqual([str(warning) for warning in reader.warnings], ["modules.x.db_type: is not supported"])

    def test_what_is_wrong_between_options_is_told(self) -> None:
        @dataclass(frozen=True)
        class Pair(Options):
            low: int = option(1, "Low.")
            high: int = option(2, "High.")

            def check(self) -> list[tuple[str, str]]:
                return [("low", "is above high")] if self.low > self.high else []

        # Names in annotations are looked up where the class is written; these are all built in.
        self.assertEqual(reasons({"low": 5}, Pair), ["low: is above high"])
        self.assertEqual(reasons({"low": "x"}, Pair), ["low: must be a whole number, not 'x'"])

    def test_a_class_without_its_decorator_is_told_to_its_author(self) -> None:
        class Forgotten(Options):
            count: int = option(1, "How many.")

        self.assertRaises(TypeError, read, Forgotten, {})

    def test_a_field_without_option_is_told_to_its_author(self) -> None:
        @dataclass(frozen=True)
        class Bare(Options):
            count: int = 1

        self.assertRaises(TypeError, read, Bare, {})


class Documenting(SynchronousTestCase):
    def test_every_option_is_described(self) -> None:
        found = {entry.name: entry for entry in describe(Example)}
        self.assertEqual(list(found), list(Example.__dataclass_fields__))
        interval = found["interval"]
        self.assertEqual((interval.type, interval.default, interval.unit), ("duration or infinity", "60", "s"))
        self.assertEqual((interval.doc, interval.minimum, interval.maximum), ("How often.", 1, None))
        self.assertEqual(found["action"].type, "one of none, kill")
        self.assertEqual(found["words"].type, "list of string")
        self.assertEqual((found["limit"].type, found["limit"].default), ("size or infinity", "infinity"))
        self.assertEqual(found["inners"].type, "map of string to inner")
        self.assertEqual(found["access"].type, "access rule")
        self.assertEqual(found["owner"].type, "JID or none")
        self.assertEqual(found["password"].default, "(hidden)")

    def test_a_class_is_called_by_its_words_and_an_abbreviation_stays_one(self) -> None:
        for name, words in (
            ("HostPattern", "host pattern"),
            ("JID", "JID"),
            ("JIDList", "JID list"),
            ("FullJID", "full JID"),
            ("C2SOptions", "C2S options"),
            ("Secret", "secret"),
        ):
            self.assertEqual(type_name(type(name, (), {})), words)
            self.assertEqual(type_name(tuple[type(name, (), {}), ...]), f"list of {words}")  # type: ignore[misc]


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
EXAMPLES = st.builds(
    Example,
    on=st.booleans(),
    count=st.integers(1, 10),
    factor=st.floats(0, 1e6, allow_nan=False).map(lambda number: round(number, 3)),
    interval=st.just(math.inf) | st.integers(1, 10**6).map(float),
    whole=st.integers(0, 10**9),
    size=st.integers(0, 10**12),
    limit=st.none() | st.integers(0, 10**9),
    name=WORDS,
    title=st.none() | WORDS,
    action=st.sampled_from(["none", "kill"]),
    required=st.sampled_from([False, "optional", True]),
    colour=st.sampled_from(Colour),
    words=st.lists(WORDS, max_size=3),
    numbers=st.lists(st.integers(1, 99), max_size=3).map(tuple),
    table=st.dictionaries(WORDS, st.integers(-9, 9), max_size=3),
    inner=st.builds(Inner, st.integers(0, 9)),
    inners=st.dictionaries(WORDS, st.builds(Inner, st.integers(0, 9)), max_size=2),
    either=st.just("many") | st.integers(0, 9),
    password=WORDS.map(Secret),
    owner=st.none() | st.just(JID("bob", "example.org")),
    access=st.sampled_from([AccessRule("all"), AccessRule("c2s")]),
    shaper=st.sampled_from([ShaperRule("none"), ShaperRule("fast")]),
)
RUBBISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


class Properties(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(EXAMPLES)
    def test_what_is_written_reads_back(self, options: Example) -> None:
        plain = written(options)
        assert isinstance(plain, dict)
        self.assertEqual(read(Example, plain), options)

    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(st.sampled_from(list(Example.__dataclass_fields__)), RUBBISH, max_size=4))
    def test_rubbish_raises_nothing_else(self, values: dict[str, object]) -> None:
        try:
            read(Example, values)
        except ConfigErrors as errors:
            self.assertTrue(errors.problems)
