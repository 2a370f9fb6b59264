"""Files are read piece by piece: what they include, where things stand, and what is no honest file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.server.moving import reading
from federix.server.moving.reading import Broken, Found, HostFound, Odd, PieReader, Thing, UserFound, take
from federix.xmpp import ns

from .moving_case import PIE, XI

AROUND = {(ns.ROSTER, "query"), (ns.PIE, "offline-messages")}
KNOWN = {("vcard-temp", "vCard")}


class ReadingTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="federix-reading-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, text: str, name: str = "data.xml", encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding=encoding)
        return path

    def reader(self, path: Path) -> PieReader:
        return PieReader(path, AROUND, KNOWN)

    def read(self, text: str) -> list[Found]:
        return list(self.reader(self.file(text)))

    def user(self, inside: str) -> list[Found]:
        """What is found in a user, behind the host and the user."""
        text = (
            f"<server-data {PIE} {XI}><host jid='example.org'><user name='juliet'>{inside}</user></host></server-data>"
        )
        host, user, *found = self.read(text)
        assert isinstance(host, HostFound) and isinstance(user, UserFound)
        return found

    def odd(self, found: list[Found]) -> list[str]:
        return [f"{each.place.line}: {each.why}" for each in found if isinstance(each, Odd)]

    # -- things -------------------------------------------------------------------------------------------------------

    def test_things_come_one_by_one_with_the_line_that_they_begin_in(self) -> None:
        found = self.user("\n<query xmlns='jabber:iq:roster'>\n<item jid='a'/>\n\n<item\n jid='b'/></query>")
        things = [each for each in found if isinstance(each, Thing)]
        self.assertEqual([(each.element.get("jid"), each.place.line) for each in things], [("a", 3), ("b", 5)])
        self.assertEqual({each.tag for each in things}, {(ns.ROSTER, "query")})

    def test_what_is_one_thing_comes_whole(self) -> None:
        (vcard,) = self.user(
            "<vCard xmlns='vcard-temp'><FN xml:lang='en'>J &amp; <b xmlns:c='d' c:e='f'/></FN></vCard>"
        )
        assert isinstance(vcard, Thing)
        xml = "<vCard xmlns='vcard-temp'><FN xml:lang='en'>J &amp; <b xmlns:a0='d' a0:e='f'/></FN></vCard>"
        self.assertEqual(vcard.element.to_xml(), xml)

    def test_text_comments_and_instructions_between_things_are_passed_by(self) -> None:
        self.assertEqual(self.user("text<!-- <vCard xmlns='vcard-temp'/> --><?php ?>"), [])

    def test_a_file_may_be_in_another_encoding(self) -> None:
        text = f"<?xml version='1.0' encoding='ISO-8859-1'?><host {PIE} jid='exämple.org'/>"
        (host,) = self.reader(self.file(text, encoding="latin-1"))
        assert isinstance(host, HostFound)
        self.assertEqual(host.jid, "exämple.org")

    def test_what_is_not_known_is_passed_by_with_all_that_is_in_it(self) -> None:
        found = self.user(
            "<a xmlns='b'><vCard xmlns='vcard-temp'/><xi:include href='c.xml'/></a><vCard xmlns='vcard-temp'/>"
        )
        self.assertEqual(self.odd(found), ["1: <a xmlns='b'> is nothing that can be taken here"])
        self.assertEqual(len(found), 2)

    def test_a_password_is_in_no_representation(self) -> None:
        text = f"<server-data {PIE}><host jid='a'><user name='b' password='s3cret'/></host></server-data>"
        self.assertNotIn("s3cret", repr(self.read(text)))

    # -- what is too much ---------------------------------------------------------------------------------------------

    def test_a_thing_that_is_too_large_is_passed_by(self) -> None:
        self.patch(reading, "MOST_OF_ONE", 1000)
        for large in ("x" * 2000, "<a/>" * 2000, f"<a b='{'x' * 2000}'/>", "<a>x</a>" * 999):
            found = self.user(f"<vCard xmlns='vcard-temp'>{large}</vCard>\n<vCard xmlns='vcard-temp'/>")
            self.assertEqual(self.odd(found), ["1: it is too large: more than 1000 characters, or too deep"])
            self.assertEqual([each.place.line for each in found if isinstance(each, Thing)], [2])

    def test_a_thing_that_is_too_deep_is_passed_by(self) -> None:
        deep = "<a>" * 100_000 + "</a>" * 100_000
        found = self.user(f"<vCard xmlns='vcard-temp'>{deep}</vCard><vCard xmlns='vcard-temp'/>")
        self.assertEqual([type(each) for each in found], [Odd, Thing])

    def test_an_encoding_that_cannot_be_read_is_told(self) -> None:
        for encoding in ("klingon", "shift_jis", "hex", "utf-7"):
            (broken,) = self.read(f"<?xml version='1.0' encoding='{encoding}'?>\n<server-data {PIE}/>")
            assert isinstance(broken, Broken)
            self.assertTrue(broken.why.startswith(f"{self.folder}/data.xml:1: its encoding cannot be read"), broken)

    def test_a_document_type_is_refused(self) -> None:
        """Entities of entities would fill all memory."""
        text = f"<!DOCTYPE a [<!ENTITY b 'c'>]>\n<host {PIE} jid='&b;'/>"
        (broken,) = self.read(text)
        self.assertEqual(broken, Broken(f"{self.folder}/data.xml:1: a file with a DOCTYPE is not read"))

    def test_no_more_is_taken_at_a_time_than_is_asked_for(self) -> None:
        items = "".join(f"<item jid='{number}'/>" for number in range(100))
        path = self.file(
            f"<host {PIE} jid='a'><user name='b'><query xmlns='jabber:iq:roster'>{items}</query></user></host>"
        )
        found = iter(self.reader(path))
        self.assertEqual([len(take(found, 40, 10**6)) for _ in range(4)], [40, 40, 22, 0])
        found = iter(self.reader(self.file(path.read_text().replace("jid='1'", f"jid='{'1' * 1000}'"))))
        self.assertEqual(len(take(found, 40, 1000)), 4)

    # -- §5: what is included -----------------------------------------------------------------------------------------

    def included(self, include: str) -> list[Found]:
        return self.read(f"<server-data {PIE} {XI}>\n{include}</server-data>")

    def test_a_relative_uri_is_that_of_a_file_beside_the_one_that_includes_it(self) -> None:
        self.file(f"<host {PIE} {XI} jid='a b'><xi:include href='d%20e/f.xml'/></host>", "x/h.xml")
        self.file(f"<user {PIE} {XI} name='f'><xi:include href='../v.xml'/></user>", "x/d e/f.xml")
        self.file("<vCard xmlns='vcard-temp'/>", "x/v.xml")
        found = self.included("<xi:include href='x/h.xml'/>")
        self.assertEqual([type(each) for each in found], [HostFound, UserFound, Thing])
        assert isinstance(found[-1], Thing)
        self.assertEqual(found[-1].place.file.resolve(), (self.folder / "x" / "v.xml").resolve())

    def test_what_stands_behind_what_is_included_comes_behind_it(self) -> None:
        self.file(f"<host {PIE} jid='first'/>", "h.xml")
        found = self.included("<xi:include href='h.xml'/><host jid='second'/>")
        self.assertEqual([each.jid for each in found if isinstance(each, HostFound)], ["first", "second"])

    def test_includes_among_what_users_have_said_are_theirs(self) -> None:
        """§6: "SHOULD be treated as opaque user data, and SHOULD NOT be processed"."""
        self.file("<secret/>", "secret.xml")
        (vcard,) = self.user("<vCard xmlns='vcard-temp'><xi:include href='secret.xml'/></vCard>")
        assert isinstance(vcard, Thing)
        self.assertIn("include", vcard.element.to_xml())
        (item,) = self.user("<query xmlns='jabber:iq:roster'><xi:include href='secret.xml'/></query>")
        self.assertIsInstance(item, Thing)

    def test_other_kinds_of_includes_are_told(self) -> None:
        self.file(f"<host {PIE} jid='a'/>", "h.xml")
        for attrs in (
            "",
            "href=''",
            "href='h.xml' parse='text'",
            "href='h.xml' xpointer='a'",
            "href='http://example.org/h.xml'",
            "href='//example.org/h.xml'",
            f"href='{self.folder}/h.xml'",
            f"href='file://{self.folder}/h.xml'",
            "href='http://[h.xml'",
            "href='h.xml%00'",
        ):
            self.assertEqual(
                self.odd(self.included(f"<xi:include {attrs}/>")),
                ["2: only files whose relative URI stands in 'href' are included"],
            )

    def test_a_file_that_includes_itself_is_told(self) -> None:
        self.file(f"<server-data {PIE} {XI}><xi:include href='data.xml'/></server-data>", "other.xml")
        found = self.included("<xi:include href='./data.xml'/>")
        self.assertEqual(self.odd(found), [f"2: the file {self.folder}/data.xml includes itself"])

    def test_files_include_files_only_so_deep(self) -> None:
        for number in range(20):
            self.file(f"<vCard xmlns='vcard-temp' {XI}/>", f"{number}.xml")
        self.patch(reading, "MOST_FILES_DEEP", 1)
        self.assertIn("includes itself", self.odd(self.user("<xi:include href='1.xml'/>"))[0])

    def test_a_file_that_is_missing_is_told(self) -> None:
        found = self.included("<xi:include href='h.xml'/>\n<host jid='a'/>")
        self.assertEqual(self.odd(found), [f"2: there is no file {self.folder}/h.xml"])
        self.assertIsInstance(found[-1], HostFound)

    def test_what_a_file_of_a_directory_includes_is_read_once(self) -> None:
        for host, main in (("a.test", "zz.xml"), ("zz.test", "all.xml")):
            folder = self.folder / host
            self.file(f"<host {PIE} jid='{host}'><user name='juliet'/></host>", f"{host}/{host}.xml")
            self.file(f"<server-data {PIE} {XI}><xi:include href='{host}.xml'/></server-data>", f"{host}/{main}")
            reader = self.reader(folder)
            self.assertEqual([type(each) for each in reader], [HostFound, UserFound])
            self.assertEqual(reader.read, reader.size)

    def test_how_far_it_is_counts_all_files_that_are_known(self) -> None:
        inner = self.file(f"<host {PIE} jid='a'/>", "h.xml")
        outer = self.file(f"<server-data {PIE} {XI}><xi:include href='h.xml'/></server-data>")
        reader = self.reader(outer)
        list(reader)
        size = inner.stat().st_size + outer.stat().st_size
        self.assertEqual((reader.read, reader.size), (size, size))

    # -- where it is cut ----------------------------------------------------------------------------------------------

    def test_it_is_the_same_wherever_it_is_cut(self) -> None:
        text = (
            f"<?xml version='1.0'?>\n<server-data {PIE} {XI}><host jid='exämple.org'>\n<user name='ju' password='&lt;'>"
            "<query xmlns='jabber:iq:roster'><item jid='a'><group> é ☂ 𝄞 </group></item>\n<item jid='b'/></query>"
            "<what xmlns='ever'><is><it/></is></what><vCard xmlns='vcard-temp'>x</vCard></user></host></server-data>"
        )
        whole = self.read(text)
        self.assertEqual(len(whole), 6)
        for size in range(1, 40):
            self.patch(reading, "CHUNK", size)
            self.assertEqual(self.read(text), whole)

    @given(st.binary(max_size=300))
    def test_any_bytes_are_read_or_told(self, data: bytes) -> None:
        path = self.folder / "any.xml"
        path.write_bytes(data)
        self.assertIsInstance(list(self.reader(path))[-1], Broken)
