"""The reference of `federix.api` explains all of it, and what it shows runs."""

from __future__ import annotations

import re
import sys
from collections import Counter
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

import federix.api
from federix.server.api_reference import API, EXAMPLES, handler, hooks, pages
from federix.server.api_themes import THEMES, undocumented
from federix.server.documented import ROOT, Documented, find


class ApiReference(SynchronousTestCase):
    def setUp(self) -> None:
        self.pages = {name: write() for name, write in pages("").items()}

    def test_every_name_is_explained_once(self) -> None:
        explained = Counter(name for theme in THEMES for name in theme.names)
        self.assertEqual(explained, Counter(federix.api.__all__))

    def test_nothing_is_without_documentation(self) -> None:
        self.assertEqual(list(undocumented()), [])

    def test_the_index_leads_to_each_name(self) -> None:
        index = self.pages["api/README.md"]
        for name in federix.api.__all__:
            (page, anchor) = re.findall(rf"^- \[`{name}`\]\(([\w.]+)#([\w-]+)\): \S", index, re.MULTILINE)[0]
            headings = re.findall(r"^#+ (.*)$", self.pages[f"api/{page}"], re.MULTILINE)
            places = [heading for heading in headings if heading.strip("`").lower() == name.lower()]
            number = int(anchor.rpartition("-")[2]) if "-" in anchor else 0
            self.assertEqual(places[number].strip("`"), name)

    def test_what_each_page_shows_runs(self) -> None:
        self.assertEqual({path.stem for path in EXAMPLES.glob("*.py")}, {theme.page for theme in THEMES})
        for theme in THEMES:
            with self.subTest(theme.page):
                (program,) = re.findall(r"^```python\n(.*?)^```", self.pages[f"api/{theme.page}.md"], re.S | re.M)
                module = ModuleType(f"shown_{theme.page}")
                sys.modules[module.__name__] = module  # where dataclasses look their types up
                self.addCleanup(sys.modules.pop, module.__name__)
                exec(compile(program, theme.page, "exec"), module.__dict__)

    def test_there_is_no_page_that_nobody_writes_any_more(self) -> None:
        written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / "api").iterdir()}
        self.assertEqual(written, set(self.pages))

    def test_links_lead_to_a_page(self) -> None:
        for name, text in self.pages.items():
            for link in re.findall(r"\]\((\w+\.md)", text):
                self.assertIn(f"api/{link}", self.pages, name)


class Reading(SynchronousTestCase):
    """What is read from the code is what stands there."""

    def found(self, name: str) -> Documented:
        return find(API, name)

    def member(self, owner: str, name: str) -> Documented:
        (found,) = [each for each in self.found(owner).members if each.name == name]
        return found

    def test_signatures_stand_as_they_are_written(self) -> None:
        expected = "iq_get(ns: str, name: str, *, on: tuple[Target, ...] = ('host', 'account'), detached: bool = False)"
        self.assertEqual(self.found("iq_get").declaration, f"{expected} -> Callable[[Handler], Handler]")
        self.assertEqual(self.member("JID", "parse").declaration, "JID.parse(text: str) -> JID")
        self.assertEqual(self.member("JID", "bare").declaration, "bare: JID")
        self.assertEqual(self.found("Xep").declaration, "Xep(number: int, version: str, status: str = 'complete')")

    def test_a_name_is_followed_to_where_it_is_defined(self) -> None:
        self.assertEqual(self.found("HostPattern").source, "federix/core/options/values.py")
        self.assertEqual(self.found("option").kind, "function")
        self.assertEqual(self.found("delay").kind, "module")
        self.assertEqual(self.found("SOFTWARE_VERSION").source, "federix/__init__.py")
        self.assertRaises(KeyError, self.found, "nothing_of_that_name")

    def test_attributes_have_the_comment_above_them(self) -> None:
        self.assertIn("bare JID", self.found("RosterItem").doc)
        self.assertIn("version", self.found("SOFTWARE_VERSION").doc)
        self.assertEqual(self.member("Module", "implements").doc, "The specifications it follows.")

    def test_each_hook_says_how_it_is_taken(self) -> None:
        taken = {hook.name: handler(hook) for hook in hooks()}
        self.assertEqual(list(taken), [hook.name for hook in federix.api.hooks.ALL])
        self.assertEqual(taken["user_send_packet"], "(self, Session, Stanza) -> Outcome")
        self.assertEqual(taken["set_presence"], "(self, Session, Presence) -> None")
        self.assertEqual(taken["disco_sm_items"], "(self, JID, JID, str) -> Iterable[Element]")
        self.assertEqual(taken["c2s_post_auth_features"], "(self) -> Iterable[Element]")
