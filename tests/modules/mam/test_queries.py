"""XEP-0313 §4: an archive is asked."""

from __future__ import annotations

from typing import Any, ClassVar

from federix.api import Stanza
from federix.core.archive_ids import ArchiveIds
from federix.modules.mam import answers, pages
from federix.modules.mam.query import MOST_IDS
from federix.xmpp import ns
from federix.xmpp.rsm import RSM

from .support import JULIET, MAM, NURSE, ROMEO, SECOND, START, Case, field, form, forwarded, page, result


class ResultTests(Case):
    """§4, §4.2."""

    def test_all_messages_match_a_query_without_a_filter(self) -> None:
        self.fill(4, f"{JULIET}/balcony", NURSE)
        answer = self.ask()
        self.assertEqual((answer.numbers, answer.complete), ([0, 1, 2, 3], True))

    def test_a_query_may_be_addressed_to_the_account(self) -> None:
        self.fill(1)
        self.assertEqual(self.ask(to=ROMEO).numbers, [0])

    def test_the_iq_result_comes_after_the_last_query_result(self) -> None:
        self.fill(60)
        answer = self.ask(page(max=60))
        self.assertEqual([element.name for element in answer.results], ["message"] * 60)
        self.assertEqual((answer.iq.name, answer.iq.get("type"), answer.iq.get("id")), ("iq", "result", "q1"))

    def test_the_result_has_a_set_in_a_fin_with_the_first_and_the_last_uid(self) -> None:
        self.fill(3)
        answer = self.ask()
        self.assertEqual(answer.said("first"), self.told(START))
        self.assertEqual(answer.said("last"), self.told(START + 2 * SECOND))

    def test_an_empty_archive_is_answered_with_no_results(self) -> None:
        answer = self.ask()
        self.assertEqual((answer.results, answer.complete), ([], True))
        self.assertEqual((answer.said("first"), answer.said("last"), answer.said("count")), (None, None, "0"))

    def test_each_result_has_the_uid_of_its_message(self) -> None:
        self.fill(2)
        self.assertEqual(self.ask().ids, [START, START + SECOND])

    def test_each_result_has_the_queryid_of_the_query(self) -> None:
        self.fill(2)
        answer = self.ask(attrs="queryid='f27'")
        self.assertEqual([result(message).get("queryid") for message in answer.results], ["f27", "f27"])
        self.assertIsNone(result(self.ask().results[0]).get("queryid"))

    def test_the_message_is_forwarded_as_it_was_received(self) -> None:
        self.fill(1)
        (message,) = self.ask().results
        kept = forwarded(message)
        self.assertEqual(
            (kept.get("from"), kept.get("to"), kept.get("type")), (f"{ROMEO}/orchard", f"{JULIET}/balcony", "chat")
        )
        self.assertEqual((kept.get("id"), kept.text_of(ns.CLIENT, "body")), ("m0", "hark 0"))

    def test_the_forwarded_message_is_written_in_its_own_namespace(self) -> None:
        self.fill(1)
        self.romeo.raw.clear()
        self.ask()
        self.assertIn(b"<message xmlns='jabber:client' from='romeo@example.org/orchard'", self.romeo.raw)

    def test_the_stamp_is_the_time_the_message_was_received(self) -> None:
        self.fill(2)
        stamps = []
        for message in self.ask().results:
            inside = result(message).child(ns.FORWARD, "forwarded")
            assert inside is not None
            delay = inside.child(ns.DELAY, "delay")
            assert delay is not None
            stamps.append(delay.get("stamp"))
        self.assertEqual(stamps, ["2026-05-01T09:00:00Z", "2026-05-01T09:00:01Z"])

    def test_results_come_from_the_archive_to_the_client_that_asked(self) -> None:
        self.fill(1)
        other = self.world.client(f"{ROMEO}/garden")
        (message,) = self.ask().results
        self.assertEqual((message.get("from"), message.get("to")), (ROMEO, f"{ROMEO}/orchard"))
        self.assertTrue(message.get("id"))
        self.assertEqual(other.drain(), [])

    def test_results_are_in_chronological_order_within_a_page_and_from_page_to_page(self) -> None:
        self.fill(20)
        first = self.ask(page(max=10))
        second = self.ask(page(max=10, after=first.said("last")))
        self.assertEqual(first.numbers + second.numbers, list(range(20)))


class FilterTests(Case):
    """§4.1."""

    def test_with_a_bare_jid_match_messages_to_and_from_all_its_resources(self) -> None:
        self.fill(6, f"{JULIET}/balcony", NURSE, JULIET)
        answer = self.ask(form(field("with", JULIET)))
        self.assertEqual((answer.numbers, answer.complete), ([0, 2, 3, 5], True))

    def test_with_a_full_jid_match_messages_with_that_resource_only(self) -> None:
        self.fill(6, f"{JULIET}/balcony", NURSE, f"{JULIET}/chamber")
        self.assertEqual(self.ask(form(field("with", f"{JULIET}/chamber"))).numbers, [2, 5])

    def test_only_messages_of_the_address_are_returned(self) -> None:
        self.fill(4, JULIET, NURSE)
        self.assertEqual(self.ask(form(field("with", "juliet@example.net"))).numbers, [])

    def test_with_the_own_account_match_messages_to_oneself_only(self) -> None:
        self.fill(4, JULIET, ROMEO)
        self.assertEqual(self.ask(form(field("with", ROMEO))).numbers, [1, 3])

    def test_start_and_end_include_messages_of_that_very_moment(self) -> None:
        self.fill(5)
        span = form(field("start", "2026-05-01T09:00:01Z"), field("end", "2026-05-01T11:00:03+02:00"))
        self.assertEqual(self.ask(span).numbers, [1, 2, 3])

    def test_the_stamps_of_results_can_be_used_as_start_and_end(self) -> None:
        self.fill(1)
        row = self.world.run(self.archives.rows(ROMEO, [START]))[0]

        async def kept() -> None:
            await self.archives.keep([row._replace(id=START + 123_457)])

        self.world.run(kept())
        stamp = "2026-05-01T09:00:00.123457Z"
        self.assertEqual(self.ask(form(field("start", stamp), field("end", stamp))).ids, [START + 123_457])

    def test_start_and_end_alone_are_open_at_the_other_side(self) -> None:
        self.fill(5)
        self.assertEqual(self.ask(form(field("start", "2026-05-01T09:00:03Z"))).numbers, [3, 4])
        self.assertEqual(self.ask(form(field("end", "2026-05-01T09:00:01.5Z"))).numbers, [0, 1])

    def test_a_start_after_the_end_matches_nothing(self) -> None:
        self.fill(2)
        span = form(field("start", "2027-01-01T00:00:00Z"), field("end", "2026-01-01T00:00:00Z"))
        answer = self.ask(span)
        self.assertEqual((answer.numbers, answer.complete), ([], True))

    def test_a_time_that_is_none_is_refused(self) -> None:
        self.assertEqual(self.ask(form(field("start", "yesterday"))).condition, "bad-request")

    def test_an_address_that_is_none_is_refused(self) -> None:
        self.assertEqual(self.ask(form(field("with", "@"))).condition, "not-acceptable")

    def test_before_id_and_after_id_leave_out_those_messages_themselves(self) -> None:
        self.fill(6)
        span = form(field("after-id", self.told(START + SECOND)), field("before-id", self.told(START + 4 * SECOND)))
        answer = self.ask(span)
        self.assertEqual((answer.numbers, answer.complete), ([2, 3], True))

    def test_before_id_does_not_page_backwards(self) -> None:
        self.fill(6)
        answer = self.ask(form(field("before-id", self.told(START + 4 * SECOND))) + page(max=2))
        self.assertEqual((answer.numbers, answer.complete), ([0, 1], False))

    def test_messages_are_fetched_by_their_ids(self) -> None:
        self.fill(6)
        answer = self.ask(form(field("ids", self.told(START + 4 * SECOND), self.told(START + SECOND))))
        self.assertEqual((answer.numbers, answer.complete, answer.said("count")), ([1, 4], True, "2"))

    def test_ids_join_the_other_filters_and_pages(self) -> None:
        self.fill(6, JULIET, NURSE)
        ids = field("ids", *(self.told(START + number * SECOND) for number in range(5)))
        self.assertEqual(self.ask(form(ids, field("with", JULIET))).numbers, [0, 2, 4])
        answer = self.ask(form(ids, field("with", JULIET)) + page(max=2, before=None))
        self.assertEqual((answer.numbers, answer.complete, answer.said("count")), ([2, 4], False, "3"))

    def test_the_number_of_ids_is_bounded(self) -> None:
        ids = form(field("ids", *range(1, MOST_IDS + 2)))
        self.assertEqual(self.ask(ids).condition, "not-acceptable")

    def test_an_id_that_is_not_in_the_archive_is_not_found_whatever_names_it(self) -> None:
        self.fill(2)
        self.keep(5, JULIET, ROMEO)
        there = self.told(START)
        others = ArchiveIds(bytes(16)).encode(START)
        near = [self.told(id) for id in (START + 5 * SECOND, START + 1, 0)]
        for unknown in (*near, START, 0, "-1", "nonsense", "9" * 22, others, f"{there} ", f"{there}=", there[:-1]):
            for query in (
                form(field("before-id", unknown)),
                form(field("after-id", unknown)),
                form(field("ids", there, unknown)),
                page(after=unknown),
                page(before=unknown),
            ):
                answer = self.ask(query)
                self.assertEqual((answer.results, answer.condition), ([], "item-not-found"), query)

    def test_including_messages_of_rooms_changes_nothing(self) -> None:
        self.fill(2)
        for value in ("true", "false", "1"):
            self.assertEqual(self.ask(form(field("include-groupchat", value))).numbers, [0, 1])
        self.assertEqual(self.ask(form(field("include-groupchat", "some"))).condition, "not-acceptable")

    def test_a_field_that_is_not_recognised_is_not_implemented(self) -> None:
        query = form(field("{http://example.com/}free-text-search", "Where arth thou"))
        self.assertEqual(self.ask(query).condition, "feature-not-implemented")

    def test_a_form_of_another_kind_is_refused(self) -> None:
        other = form().replace(MAM, "urn:xmpp:mam:1")
        self.assertEqual(self.ask(other).condition, "bad-request")
        self.assertEqual(self.ask("<x xmlns='jabber:x:data' type='submit'/>").condition, "bad-request")
        self.assertEqual(self.ask(form().replace("submit", "form")).condition, "bad-request")

    def test_no_archive_of_a_node_is_here(self) -> None:
        self.assertEqual(self.ask(attrs="node='urn:xmpp:microblog:0'").condition, "feature-not-implemented")


class PageTests(Case):
    """§4.3."""

    def setUp(self) -> None:
        super().setUp()
        self.fill(12, f"{JULIET}/balcony", NURSE)

    def test_a_page_that_is_limited_is_not_complete_and_the_last_one_is(self) -> None:
        found, after = [], {}
        while True:
            answer = self.ask(page(max=5, **after))
            found.append((answer.numbers, answer.complete))
            if answer.complete:
                break
            after = {"after": answer.said("last")}
        self.assertEqual(found, [([0, 1, 2, 3, 4], False), ([5, 6, 7, 8, 9], False), ([10, 11], True)])

    def test_a_page_that_just_holds_all_is_complete(self) -> None:
        self.assertTrue(self.ask(page(max=12)).complete)
        self.assertFalse(self.ask(page(max=11)).complete)

    def test_an_empty_before_asks_for_the_last_page(self) -> None:
        answer = self.ask(page(max=3, before=None))
        self.assertEqual((answer.numbers, answer.complete), ([9, 10, 11], False))
        self.assertEqual((answer.said("first"), answer.said("last")), (answer.told[0], answer.told[-1]))

    def test_pages_before_a_message_lead_to_the_beginning(self) -> None:
        answer = self.ask(page(max=5, before=self.told(START + 7 * SECOND)))
        self.assertEqual((answer.numbers, answer.complete), ([2, 3, 4, 5, 6], False))
        answer = self.ask(page(max=5, before=answer.said("first")))
        self.assertEqual((answer.numbers, answer.complete), ([0, 1], True))

    def test_pages_are_those_of_what_the_form_selects(self) -> None:
        juliet = form(field("with", JULIET))
        answer = self.ask(juliet + page(max=2))
        self.assertEqual((answer.numbers, answer.complete, answer.said("count")), ([0, 2], False, "6"))
        answer = self.ask(juliet + page(max=9, after=answer.said("last")))
        self.assertEqual((answer.numbers, answer.complete, answer.said("count")), ([4, 6, 8, 10], True, "6"))

    def test_a_page_may_stand_next_to_a_message_that_the_form_does_not_select(self) -> None:
        answer = self.ask(form(field("with", JULIET)) + page(max=2, after=self.told(START + 5 * SECOND)))
        self.assertEqual(answer.numbers, [6, 8])

    def test_a_flipped_page_has_the_same_results_in_reverse_order(self) -> None:
        self.patch(pages, "PIECE", 2)
        for query in (page(max=5), page(max=5, before=None), page(max=5, after=self.told(START + SECOND))):
            plain, flipped = self.ask(query), self.ask(query + "<flip-page/>")
            self.assertEqual(flipped.numbers, plain.numbers[::-1])
            self.assertEqual(flipped.complete, plain.complete)
            self.assertEqual(flipped.said("first"), plain.said("first"))

    def test_the_first_page_knows_where_it_is(self) -> None:
        answer = self.ask(page(max=5))
        assert answer.set is not None
        first = answer.set.child(RSM, "first")
        assert first is not None
        self.assertEqual((first.get("index"), answer.said("count")), ("0", "12"))

    def test_a_page_of_none_asks_for_the_count(self) -> None:
        answer = self.ask(page(max=0))
        self.assertEqual((answer.results, answer.complete, answer.said("count")), ([], False, "12"))

    def test_messages_are_counted_only_so_far_unless_their_number_is_asked_for(self) -> None:
        self.patch(pages, "MOST_COUNTED", 12)
        self.assertIsNone(self.ask(page(max=2)).said("count"))
        self.assertEqual(self.ask(page(max=0)).said("count"), "12")

    def test_a_page_by_its_number_is_not_implemented(self) -> None:
        self.assertEqual(self.ask(page(max=2, index=4)).condition, "feature-not-implemented")

    def test_a_size_that_is_none_is_refused(self) -> None:
        self.assertEqual(self.ask(page(max="all")).condition, "bad-request")


class BoundTests(Case):
    options: ClassVar[dict[str, Any]] = {"default_page": 4, "max_page": 6}

    def test_pages_are_bounded_whatever_a_client_says(self) -> None:
        self.fill(10)
        self.assertEqual(len(self.ask().results), 4)
        self.assertEqual(len(self.ask(page(max=5)).results), 5)
        answer = self.ask(page(max=4_000_000_000))
        self.assertEqual((len(answer.results), answer.complete), (6, False))

    def test_pages_are_bounded_in_bytes_and_have_one_message_at_least(self) -> None:
        self.patch(pages, "MOST_BYTES", 3 * pages.AROUND + 3000)
        self.fill(6, text="o" * 1000)
        answer = self.ask(page(max=6))
        self.assertEqual((answer.numbers, answer.complete), ([0, 1], False))
        answer = self.ask(page(max=6, before=None))
        self.assertEqual((answer.numbers, answer.complete), ([4, 5], False))
        self.patch(pages, "MOST_BYTES", 10)
        self.assertEqual(self.ask(page(max=6, after=self.told(START))).numbers, [1])

    def test_queries_of_one_session_are_answered_one_after_the_other(self) -> None:
        self.fill(6)
        self.patch(pages, "PIECE", 1)
        self.romeo.send(
            "".join(f"<iq type='set' id='q{n}'><query xmlns='{MAM}' queryid='{n}'/></iq>" for n in range(3))
        )
        self.world.advance(1)
        came = self.romeo.drain()
        self.assertEqual([e.name for e in came], (["message"] * 4 + ["iq"]) * 3)
        self.assertEqual([e.get("id") for e in came if e.name == "iq"], ["q0", "q1", "q2"])

    def test_more_queries_of_one_session_than_may_wait_are_refused(self) -> None:
        self.fill(2)
        self.patch(pages, "PIECE", 1)
        most = answers.MOST_WAITING
        query = "".join(f"<iq type='set' id='q{n}'><query xmlns='{MAM}'/></iq>" for n in range(most + 1))
        self.romeo.write(query)
        self.world.advance(1)
        refused = [e for e in self.romeo.drain() if e.name == "iq" and e.get("type") == "error"]
        self.assertEqual([e.get("id") for e in refused], [f"q{most}"])
        self.assert_error(refused[0], "resource-constraint")

    def test_other_work_goes_on_between_the_pieces_of_a_page(self) -> None:
        self.fill(6)
        self.patch(pages, "PIECE", 2)
        self.romeo.send(
            f"<iq type='set' id='q1'><query xmlns='{MAM}'>{page(max=6)}</query></iq><iq type='get' id='p1'/>"
        )
        self.world.advance(1)
        came = self.romeo.drain()
        self.assertEqual((came[-1].get("id"), len(came)), ("q1", 8))
        self.assertNotEqual(came.index(next(e for e in came if e.get("id") == "p1")), len(came) - 1)

    def test_no_page_is_sent_to_a_client_that_has_not_taken_the_one_before(self) -> None:
        self.patch(answers, "BEHIND", 0)
        self.fill(4)
        session = next(iter(self.world.host("example.org").sessions))
        waiting = [100]
        stream = session.attachment

        class Slow:
            def __getattr__(self, name: str) -> object:
                return getattr(stream, name)

            @property
            def waiting(self) -> int:
                return waiting[0]

        session.attachment = Slow()  # type: ignore[assignment]
        self.romeo.send(f"<iq type='set' id='q1'><query xmlns='{MAM}'/></iq>")
        self.world.advance(5)
        self.assertEqual(self.romeo.drain(), [])
        waiting[0] = 0
        self.world.advance(1)
        self.assertEqual(len(self.romeo.drain()), 5)

    def test_a_session_that_ends_meanwhile_leaves_nothing_behind(self) -> None:
        self.patch(pages, "PIECE", 1)
        self.fill(4)
        self.romeo.write(f"<iq type='set' id='q1'><query xmlns='{MAM}'/></iq>")
        self.romeo.cut()
        self.world.advance(5)
        self.assertEqual(len(self.mam._answers), 0)

    def test_the_module_may_stop_while_it_answers(self) -> None:
        self.patch(answers, "BEHIND", -1)
        self.fill(4)
        self.romeo.send(f"<iq type='set' id='q1'><query xmlns='{MAM}'/></iq>")
        self.world.run(self.world.host("example.org").modules.remove("mod_mam"))
        (refused,) = self.romeo.drain()
        self.assert_error(refused, "service-unavailable")
        self.assertIsNone(self.world.host("example.org").archive)


class ManagedTests(Case):
    """Of what a client has not acknowledged only so much is kept: past that its session ends."""

    modules: ClassVar[dict[str, Any]] = {"mod_disco": {}, "mod_stream_mgmt": {"max_ack_queue": 40}}

    def test_no_page_is_sent_to_a_client_that_has_not_acknowledged_the_ones_before(self) -> None:
        sm = "xmlns='urn:xmpp:sm:3'"
        self.fill(80)
        self.romeo.send(f"<enable {sm} resume='true'/>")
        self.romeo.expect(f"<enabled {sm}/>")
        for number in range(8):
            self.romeo.send(f"<iq type='set' id='{number}'><query xmlns='{MAM}'>{page(max=10)}</query></iq>")
        had, ended = 0, []
        for _ in range(8):
            self.world.advance(1)
            came = [element for element in self.romeo.drain() if element.ns == ns.CLIENT]
            ended += [element.get("id") for element in came if element.name == "iq"]
            self.assertLess(len(came), 40)
            had += len(came)
            self.romeo.send(f"<a {sm} h='{had}'/>")
        self.assertEqual(ended, [str(number) for number in range(8)])


class TogetherTests(Case):
    def setUp(self) -> None:
        self.patch(answers, "TOGETHER", 2)
        self.patch(pages, "PIECE", 1)
        super().setUp()

    def test_few_queries_are_answered_at_the_same_time_and_all_of_them_in_the_end(self) -> None:
        self.fill(5)
        clients = [self.romeo, *(self.world.client(f"{ROMEO}/r{number}") for number in range(4))]
        begun: list[str] = []
        most = 0
        for session in self.world.host("example.org").sessions:
            name = session.jid.resource

            def note(stanza: Stanza, name: str = name, send: Any = session.attachment.send) -> None:
                nonlocal most
                if name not in begun:
                    begun.append(name)
                most = max(most, len(begun))
                if stanza.kind == "iq":
                    begun.remove(name)
                send(stanza)

            session.attachment = Noting(session.attachment, note)  # type: ignore[assignment]
        for client in clients:
            client.write(f"<iq type='set' id='q1'><query xmlns='{MAM}'/></iq>")
        self.world.advance(1)
        self.assertEqual(([len(client.drain()) for client in clients], most), ([6] * 5, 2))


class Noting:
    """A session's stream that tells what is sent."""

    def __init__(self, stream: object, send: object) -> None:
        self._stream = stream
        self.send = send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PrivacyTests(Case):
    """§8.1."""

    def test_an_archive_is_its_accounts_own_and_nobody_learns_who_exists(self) -> None:
        juliet = self.world.client(f"{JULIET}/balcony")
        self.fill(2)
        for account in (ROMEO, "nobody@example.org"):
            self.assertEqual(self.ask(client=juliet, to=account).condition, "forbidden")
            for kind, payload in (("get", "metadata"), ("get", "prefs"), ("get", "query"), ("set", "prefs")):
                answer = juliet.request(f"<iq type='{kind}' id='x' to='{account}'><{payload} xmlns='{MAM}'/></iq>")
                self.assert_error(answer, "forbidden")

    def test_a_client_is_asked_what_it_is_asked(self) -> None:
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send(f"<iq type='get' id='x' to='{ROMEO}/orchard'><metadata xmlns='{MAM}'/></iq>")
        self.assertIn("metadata", self.romeo.receive().to_xml())

    def test_the_server_itself_has_no_archive(self) -> None:
        self.assertEqual(self.ask(to="example.org").condition, "service-unavailable")


class DiscoveryTests(Case):
    """§4.1.5, §5, §7."""

    def features(self, to: str) -> set[str | None]:
        answer = self.romeo.request(f"<iq type='get' id='d' to='{to}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
        query = answer.child(ns.DISCO_INFO, "query")
        assert query is not None
        return {feature.get("var") for feature in query.children_of(ns.DISCO_INFO, "feature")}

    def test_the_account_advertises_its_archive_and_the_extended_features(self) -> None:
        self.assertLessEqual({MAM, f"{MAM}#extended"}, self.features(ROMEO))

    def test_the_field_for_messages_of_rooms_is_advertised_and_that_there_are_none(self) -> None:
        self.assertIn(f"{MAM}#groupchat-field", self.features(ROMEO))
        self.assertNotIn(f"{MAM}#groupchat-available", self.features(ROMEO))

    def test_the_account_announces_that_it_follows_the_rules_of_stanza_ids(self) -> None:
        self.assertIn("urn:xmpp:sid:0", self.features(ROMEO))

    def test_support_is_advertised_only_where_there_is_an_archive(self) -> None:
        self.assertFalse({feature for feature in self.features("example.org") if feature and "mam" in feature})

    def test_the_form_has_all_fields_and_none_is_required(self) -> None:
        answer = self.romeo.request(f"<iq type='get' id='f'><query xmlns='{MAM}'/></iq>")
        query = answer.child(MAM, "query")
        assert query is not None
        found = query.child(ns.FORM, "x")
        assert found is not None
        kinds = {each.get("var"): each.get("type") for each in found.children_of(ns.FORM, "field")}
        self.assertEqual(
            kinds,
            {
                "FORM_TYPE": "hidden",
                "with": "jid-single",
                "start": "text-single",
                "end": "text-single",
                "before-id": "text-single",
                "after-id": "text-single",
                "ids": "list-multi",
                "include-groupchat": "boolean",
            },
        )
        self.assertEqual((found.get("type"), "required" in found.to_xml()), ("form", False))

    def test_the_field_for_ids_is_open_and_lists_none(self) -> None:
        self.fill(3)
        answer = self.romeo.request(f"<iq type='get' id='f'><query xmlns='{MAM}'/></iq>").to_xml()
        self.assertIn(f"<validate xmlns='{ns.VALIDATE}' datatype='xs:string'><open/></validate>", answer)
        self.assertNotIn("<option", answer)

    def test_metadata_name_the_first_and_the_last_message(self) -> None:
        self.fill(3)
        self.romeo.send(f"<iq type='get' id='m'><metadata xmlns='{MAM}'/></iq>")
        self.romeo.expect(
            f"<iq type='result' id='m'><metadata xmlns='{MAM}'>"
            f"<start id='{self.told(START)}' timestamp='2026-05-01T09:00:00Z'/>"
            f"<end id='{self.told(START + 2 * SECOND)}' timestamp='2026-05-01T09:00:02Z'/></metadata></iq>"
        )

    def test_metadata_of_an_empty_archive_are_empty(self) -> None:
        answer = self.romeo.request(f"<iq type='get' id='m'><metadata xmlns='{MAM}'/></iq>")
        metadata = answer.child(MAM, "metadata")
        assert metadata is not None
        self.assertEqual(metadata.children, [])
