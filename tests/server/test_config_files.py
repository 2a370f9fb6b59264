"""Files, includes, macros, keywords, and YAML itself."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from federix.server.config import Config, ConfigErrors, load
from federix.server.config.files import MAXIMUM_INCLUDES
from federix.server.config.macros import MAXIMUM_WORD
from federix.server.config.yaml import MAXIMUM_NODES, MAXIMUM_TEXT


def errors(source: str | Path, **environ: str) -> list[str]:
    try:
        load(source, environ=environ)
    except ConfigErrors as found:
        return [str(problem).removeprefix("<text>:") for problem in found.problems]
    return []


class Yaml(SynchronousTestCase):
    def one(self, text: str, beginning: str) -> None:
        (found,) = errors(text)
        self.assertTrue(found.startswith(beginning), found)

    def test_a_mistake_names_its_place(self) -> None:
        self.one("hosts: [a.test", "1:")
        self.one("hosts: a.test\n  b: c", "2:4: is not YAML")

    def test_a_key_given_twice_is_an_error(self) -> None:
        self.one("hosts: a.test\nhosts: b.test", "2:1: 'hosts' is given twice (first in line 1)")
        self.one("hosts: a.test\nacl:\n  x: {user: a, user: b}", "3:16: 'user' is given twice")

    def test_every_key_given_twice_is_told(self) -> None:
        found = errors("hosts: a.test\nhosts: b.test\nloglevel: info\nloglevel: debug")
        self.assertEqual([problem.partition(" is given")[0] for problem in found], ["2:1: 'hosts'", "4:1: 'loglevel'"])

    def test_tabs_and_at_signs_get_a_hint(self) -> None:
        self.assertIn("spaces, not with tabs", errors("hosts:\n\t- a.test")[0])
        self.assertIn("quote values", errors("hosts: @HOST@")[0])

    def test_aliases_and_merged_maps_work(self) -> None:
        text = "hosts: a.test\nlanguage: &l de\nversion: *l\n"
        text += "listen:\n- &c {module: ejabberd_c2s, port: 1}\n- {<<: *c, port: 2}"
        found = load(text)
        self.assertEqual([listener.port for listener in found.listeners], [1, 2])
        self.assertEqual(found.options("a.test").version, "de")

    def test_a_bomb_of_aliases_is_refused(self) -> None:
        lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(6)]
        self.assertIn(f"more than {MAXIMUM_NODES} values", errors("\n".join(lines))[0])

    def test_what_holds_itself_and_what_is_too_deep_is_refused(self) -> None:
        self.assertIn("nested deeper", errors("hosts: &a [*a]")[0])
        self.assertIn("nested deeper", errors("hosts: " + "[" * 5000)[0])

    def test_tags_mean_nothing(self) -> None:
        self.one("hosts: !!python/object/apply:os.getcwd []", "1:8: the tag '!!python/object/apply:os.getcwd'")

    def test_a_file_has_a_size(self) -> None:
        self.assertIn("is larger than", errors("#" * (MAXIMUM_TEXT + 1))[0])

    def test_odd_characters_and_escapes_are_refused(self) -> None:
        for text in ('hosts: "\\0"', 'hosts: "\\ud800"', 'hosts: "\\UFFFFFFFF"', "hosts: \x01"):
            self.assertEqual(len(errors(text)), 1, text)

    def test_words_stay_as_written(self) -> None:
        self.assertEqual(load("hosts: a.test\nlanguage: no\nversion: 1.10").options("a.test").language, "no")
        self.assertEqual(load("hosts: a.test\nlanguage: no\nversion: 1.10").options("a.test").version, "1.10")


class WithFiles(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def test_a_missing_file_is_told(self) -> None:
        (found,) = errors(self.folder / "gone.yml")
        self.assertEqual(found, f"{self.folder / 'gone.yml'}: cannot be read: No such file or directory")
        self.assertIn("cannot be read", errors(self.folder)[0])

    def test_a_file_that_is_not_utf8_is_told_with_its_line(self) -> None:
        path = self.folder / "latin.yml"
        path.write_bytes(b"hosts: a.test\nversion: \xfc")
        self.assertTrue(errors(path)[0].endswith("latin.yml:2:1: is not UTF-8"))

    def test_included_files_join(self) -> None:
        self.write("more.yml", "acl: {admin: {user: x}}\nlisten:\n- {module: ejabberd_c2s, port: 2}")
        path = self.write(
            "main.yml",
            "hosts: a.test\ninclude_config_file: more.yml\nacl: {other: {user: y}}\n"
            "listen:\n- {module: ejabberd_c2s, port: 1}",
        )
        found = load(path)
        self.assertEqual([listener.port for listener in found.listeners], [1, 2])
        self.assertLessEqual({"admin", "other"}, found.access("a.test").names("acl"))

    def test_an_error_in_an_included_file_names_that_file(self) -> None:
        self.write("more.yml", "\nlanguage: [x, y]")
        (found,) = errors(self.write("main.yml", "hosts: a.test\ninclude_config_file: more.yml"))
        self.assertIn("more.yml:2:11: language:", found)

    def test_one_value_in_two_files_is_an_error(self) -> None:
        self.write("more.yml", "language: de")
        (found,) = errors(self.write("main.yml", "hosts: a.test\nlanguage: en\ninclude_config_file: more.yml"))
        self.assertIn("more.yml:1:11: language: is given already at", found)
        self.assertIn("main.yml:2:11", found)

    def test_an_include_may_be_limited(self) -> None:
        self.write("more.yml", "language: de\nloglevel: debug")
        for rule, language, level in [("disallow: [language]", "en", "debug"), ("allow_only: language", "de", "info")]:
            found = load(self.write("main.yml", f"hosts: a.test\ninclude_config_file: {{more.yml: {{{rule}}}}}"))
            self.assertEqual((found.options("a.test").language, found.server.loglevel), (language, level))
            self.assertEqual(len(found.warnings), 1)

    def test_files_must_not_include_themselves(self) -> None:
        self.write("b.yml", "include_config_file: a.yml")
        self.assertIn("includes itself", errors(self.write("a.yml", "hosts: a.test\ninclude_config_file: [b.yml]"))[0])

    def test_a_configuration_has_so_many_files(self) -> None:
        self.write("empty.yml", "")
        names = ", ".join(["empty.yml"] * MAXIMUM_INCLUDES)
        (found,) = errors(self.write("main.yml", f"hosts: a.test\ninclude_config_file: [{names}]"))
        self.assertIn(f"more than {MAXIMUM_INCLUDES} files", found)

    def test_a_missing_include_is_told_where_it_is_asked_for(self) -> None:
        (found,) = errors(self.write("main.yml", "hosts: a.test\ninclude_config_file: gone.yml"))
        self.assertIn("main.yml:2:22: ", found)
        self.assertIn("gone.yml cannot be read", found)


class Macros(SynchronousTestCase):
    def test_a_macro_stands_for_a_value(self) -> None:
        found = load(
            """
define_macro:
  LEVEL: debug
  PORT: 5333
  PEOPLE: {user: bob}
  BOTH: [OTHER, b.test]
  OTHER: a.test
hosts: BOTH
loglevel: 'LEVEL'
listen: [{module: ejabberd_c2s, port: PORT}]
acl: {admin: PEOPLE}
version: "LEVEL"
"""
        )
        self.assertEqual(
            (found.hosts, found.server.loglevel, found.listeners[0].port), (("a.test", "b.test"), "debug", 5333)
        )
        self.assertEqual(found.options("a.test").version, "LEVEL")

    def test_an_error_in_a_macro_names_where_it_was_written(self) -> None:
        (found,) = errors("define_macro:\n  LEVEL: inof\nhosts: a.test\nloglevel: LEVEL")
        self.assertTrue(found.startswith("2:10: loglevel: must be one of none, "), found)

    def test_the_environment_defines_macros(self) -> None:
        text = "define_macro: {PORT: 1}\nhosts: HOSTS\nlisten: [{module: ejabberd_c2s, port: PORT}]"
        found = load(text, environ={"EJABBERD_MACRO_PORT": "2", "FEDERIX_MACRO_HOSTS": "[a.test, b.test]", "PORT": "9"})
        self.assertEqual((found.hosts, found.listeners[0].port), (("a.test", "b.test"), 2))
        both = load(
            text, environ={"EJABBERD_MACRO_PORT": "2", "FEDERIX_MACRO_PORT": "3", "FEDERIX_MACRO_HOSTS": "a.test"}
        )
        self.assertEqual(both.listeners[0].port, 3)

    def test_an_error_in_the_environment_names_the_variable(self) -> None:
        (found,) = errors("hosts: a.test\nloglevel: LEVEL", FEDERIX_MACRO_LEVEL="x")
        self.assertTrue(found.startswith("$FEDERIX_MACRO_LEVEL: loglevel:"), found)

    def test_macros_must_not_lead_back_to_themselves(self) -> None:
        self.assertIn("leads back to itself", errors("define_macro: {A: [B], B: A}\nhosts: a.test\nversion: A")[0])

    def test_macros_of_macros_have_a_bound(self) -> None:
        macros = "".join(f"  M{n}: [{', '.join([f'M{n + 1}'] * 10)}]\n" for n in range(8))
        self.assertIn("more than", errors(f"define_macro:\n{macros}hosts: M0")[0])

    def test_names_are_upper_case(self) -> None:
        self.assertEqual(errors("define_macro: {port: 1}\nhosts: a.test"),
                         ["1:16: define_macro.port: must be a name in upper case letters, digits and '_'"])  # fmt: skip

    def test_keywords_stand_in_words(self) -> None:
        found = load(
            """
define_keyword: {WHO: bob, WHERE: a.test}
hosts: "@WHERE@"
acl: {admin: {user: "@WHO@@@WHERE@"}}
sql_database: "@DATABASE_PATH@/x.db"
version: "@HOME@/@CONFIG_PATH@/@LOG_PATH@"
""",
            environ={"HOME": "/root"},
            directory=Path("/data"),
            log_directory=Path("/log"),
        )
        self.assertEqual((found.hosts, found.server.sql_database), (("a.test",), "/data/x.db"))
        self.assertEqual(found.options("a.test").version, "/root//data//log")

    def test_an_unknown_keyword_is_a_warning(self) -> None:
        found = load("hosts: a.test\nversion: '@HOTS@'")
        self.assertEqual(
            [warning.why for warning in found.warnings], ["no keyword is called HOTS, did you mean 'HOST'?"]
        )
        self.assertEqual(found.options("a.test").version, "@HOTS@")

    def test_a_word_with_keywords_has_a_bound(self) -> None:
        text = f"define_keyword: {{A: {'x' * 1000}}}\nhosts: a.test\nversion: '{'@A@' * (MAXIMUM_WORD // 1000 + 1)}'"
        self.assertIn("is longer than", errors(text)[0])

    def test_a_server_can_be_made_from_a_text(self) -> None:
        self.assertIsInstance(load("hosts: a.test"), Config)
