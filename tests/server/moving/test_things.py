"""Each kind of thing that comes with an account: what is taken of it, and what it becomes here."""

from __future__ import annotations

from federix.core.archive_ids import ArchiveIds
from federix.modules import offline_moving
from federix.modules.mam import moving

from .moving_case import JULIET, MODULES, MovingCase, archive, privacy, result


class ThingsTest(MovingCase):
    def blocked(self) -> bytes | None:
        stored: bytes | None = self.world.run(self.world.server.storage.documents.get("blocking", JULIET))
        return stored

    # -- §4.4, §4.9: rosters ------------------------------------------------------------------------------------------

    def test_contacts_keep_their_state(self) -> None:
        item = "<item jid='romeo@montague.net' name='Romeo' subscription='to' ask='subscribe' approved='true'>"
        self.bring(f"<query xmlns='jabber:iq:roster'>{item}<group>Friends</group></item></query>")
        found = self.everything()["juliet"]["items"][0]
        self.assertEqual((found.name, found.subscription, found.ask, found.approved), ("Romeo", "to", True, True))
        self.assertEqual(found.groups, {"Friends"})

    def test_a_contact_that_is_there_stays_unless_it_is_to_be_overwritten(self) -> None:
        roster = (
            "<query xmlns='jabber:iq:roster'><item jid='romeo@montague.net' name='%s' subscription='both'/></query>"
        )
        self.bring(roster % "Romeo")
        self.assertEqual(self.bring(roster % "Roméo")[1], "contacts: 1 there already")
        self.assertEqual(self.everything()["juliet"]["items"][0].name, "Romeo")
        self.assertEqual(self.bring(roster % "Roméo", overwrite=True)[1], "contacts: 1 replaced")
        self.assertEqual(self.everything()["juliet"]["items"][0].name, "Roméo")

    def test_contacts_that_cannot_be_are_told_with_their_place(self) -> None:
        told = self.bring(
            "<query xmlns='jabber:iq:roster'>\n<item jid='@'/>\n<item jid='a@b.test' subscription='sometimes'/>"
            f"\n<item jid='{JULIET}'/>\n<item/><item jid='c@d.test'/></query>"
        )
        self.assertEqual([line.split(": ")[1].rpartition(":")[2] for line in told[2:]], ["4", "5", "6", "7"])
        self.assertEqual(told[1], "contacts: 1 added")

    def test_a_roster_grows_no_larger_than_it_may(self) -> None:
        world = self.new_world(modules={**MODULES, "mod_roster": {"max_items": 2, "max_requests": 1}})
        items = "".join(f"<item jid='{name}@b.test'/>" for name in "abc")
        requests = "".join(f"<presence xmlns='jabber:client' type='subscribe' from='{n}@b.test'/>" for n in "xy")
        told = self.bring(f"<query xmlns='jabber:iq:roster'>{items}</query>{requests}", world)
        self.assertEqual(told[1:3], ["contacts: 2 added", "subscription requests: 1 added"])
        self.assertEqual(sum("the roster is full" in line for line in told), 2)

    def test_who_is_there_gets_what_comes_as_pushes(self) -> None:
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        juliet.send("<presence/>")
        juliet.drain()
        self.bring("<query xmlns='jabber:iq:roster'><item jid='romeo@montague.net' subscription='both'/></query>")
        (push,) = [each for each in juliet.drain() if each.name == "iq"]
        self.assertIn("romeo@montague.net", push.to_xml())
        # And what is in memory knows it, too: he may see her.
        host = self.world.host("example.org")
        romeo = self.world.run(host.storage.rosters.item(JULIET, "romeo@montague.net"))
        self.assertEqual(romeo.subscription, "both")

    def test_requests_keep_their_words_and_wait_for_an_answer(self) -> None:
        """§4.9: "pending incoming subscription requests associated with the user's account"."""
        nick = "<nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick>"
        self.bring(
            f"<presence xmlns='jabber:client' type='subscribe' id='x' from='romeo@montague.net'>{nick}</presence>"
        )
        juliet = self.world.client(f"{JULIET}/balcony", "secret")
        juliet.send("<presence/>")
        (request,) = [each for each in juliet.drain() if each.get("type") == "subscribe"]
        self.assertEqual((request.get("from"), request.get("to")), ("romeo@montague.net", JULIET))
        self.assertIn("Romeo", request.to_xml())

    def test_other_presence_is_no_request(self) -> None:
        told = self.bring("<presence xmlns='jabber:client' type='probe' from='romeo@montague.net'/>")
        self.assertIn("it is no subscription request", told[-1])

    # -- §4.5: offline messages ---------------------------------------------------------------------------------------

    def test_offline_messages_are_delivered_in_their_order_with_their_time(self) -> None:
        delay = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2009-07-21T00:32:29Z'>Offline Storage</delay>"
        messages = "".join(
            f"<message xmlns='jabber:client' from='romeo@montague.net/orchard' to='{JULIET}/balcony' type='chat'>"
            f"<body>{number}</body>{delay}</message>"
            for number in range(3)
        )
        self.assertEqual(self.bring(f"<offline-messages>{messages}</offline-messages>")[1], "offline messages: 3 added")
        juliet = self.world.client(f"{JULIET}/balcony", "secret")
        juliet.send("<presence/>")
        self.world.advance(2)
        got = [each for each in juliet.drain() if each.name == "message"]
        self.assertEqual([each.text_of("jabber:client", "body") for each in got], ["0", "1", "2"])
        stamps = [child.get("stamp") for child in got[0].elements() if child.name == "delay"]
        self.assertEqual(stamps, ["2009-07-21T00:32:29Z"])

    def test_an_offline_message_that_was_fetched_where_it_comes_from_waits_here_all_the_same(self) -> None:
        """XEP-0013 §2.4: what is handed over has a node of that server."""
        fetched = "<offline xmlns='http://jabber.org/protocol/offline'><item node='1'/></offline>"
        message = f"<message xmlns='jabber:client' from='romeo@montague.net'>{fetched}<body>Ay me</body></message>"
        self.assertEqual(self.bring(f"<offline-messages>{message}</offline-messages>")[1], "offline messages: 1 added")
        juliet = self.world.client(f"{JULIET}/balcony", "secret")
        juliet.send("<presence/>")
        self.world.advance(2)
        (got,) = [each for each in juliet.drain() if each.name == "message"]
        self.assertEqual([child.name for child in got.elements()], ["body", "delay"])

    def test_two_messages_that_say_the_same_are_two_however_often_they_are_brought(self) -> None:
        message = "<message xmlns='jabber:client' from='romeo@montague.net'><body>Ay me</body></message>"
        inside = f"<offline-messages>{message * 2}</offline-messages>"
        self.bring(inside)
        self.assertEqual(self.bring(inside)[1], "offline messages: 2 there already")
        self.assertEqual(
            self.bring(inside.replace(message * 2, message * 3))[1], "offline messages: 1 added, 2 there already"
        )

    def test_no_more_messages_wait_than_may(self) -> None:
        world = self.new_world(config={"shaper_rules": {"max_user_offline_messages": 2}})
        message = "<message xmlns='jabber:client' from='romeo@montague.net'><body>Ay me</body></message>"
        told = self.bring(f"<offline-messages>{message * 3}</offline-messages>", world)
        self.assertEqual(told[1], "offline messages: 2 added")
        self.assertIn("as many wait as may, see mod_offline's access_max_user_messages", told[2])

    def test_what_is_no_message_is_told(self) -> None:
        told = self.bring("<offline-messages><presence xmlns='jabber:client' from='a@b.test'/></offline-messages>")
        self.assertIn("it is no message", told[-1])

    # -- §4.6: private XML ---------------------------------------------------------------------------------------------

    def test_private_fragments_beyond_the_limits_are_told(self) -> None:
        world = self.new_world(modules={**MODULES, "mod_private": {"max_fragments": 1}})
        told = self.bring("<query xmlns='jabber:iq:private'><a xmlns='a'>1</a><b xmlns='b'>2</b></query>", world)
        self.assertEqual(told[1], "private fragments: 1 added")
        self.assertIn("more than 1 fragments", told[2])

    def test_a_private_fragment_that_differs_stays_unless_it_is_to_be_overwritten(self) -> None:
        fragment = "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'>%s</exodus></query>"
        self.bring(fragment % 1)
        self.assertEqual(self.bring(fragment % 2)[1], "private fragments: 1 there already")
        self.assertEqual(self.bring(fragment % 2, overwrite=True)[1], "private fragments: 1 replaced")

    # -- §4.8: privacy lists ------------------------------------------------------------------------------------------

    def test_of_privacy_lists_what_the_default_one_denies_is_blocked(self) -> None:
        deny = "<item type='jid' value='%s' action='deny' order='%d'/>"
        told = self.bring(
            privacy(deny % ("b.test", 2), deny % ("tybalt@example.com", 1), "<item action='allow' order='3'/>")
        )
        self.assertEqual(told[1], "block lists: 1 added")
        self.assertEqual(self.blocked(), b'["tybalt@example.com","b.test"]')

    def test_rules_that_a_block_list_cannot_have_are_told(self) -> None:
        told = self.bring(
            privacy(
                "<item type='jid' value='tybalt@example.com' action='deny' order='1'/>",
                "<item type='subscription' value='none' action='deny' order='2'/>",
                "<item type='jid' value='half@example.com' action='deny' order='3'><message/></item>",
            )
        )
        self.assertIn("2 rules say what a block list cannot; 1 addresses are blocked", told[-1])
        self.assertEqual(self.blocked(), b'["tybalt@example.com"]')

    def test_a_list_that_is_not_in_force_blocks_nobody(self) -> None:
        told = self.bring(privacy("<item type='jid' value='a@b.test' action='deny' order='1'/>", default=False))
        self.assertIn("1 rules say", told[-1])
        self.assertIsNone(self.blocked())

    def test_block_lists_are_joined_or_overwritten(self) -> None:
        deny = "<item type='jid' value='%s@b.test' action='deny' order='1'/>"
        self.bring(privacy(deny % "a"))
        self.bring(privacy(deny % "b"))
        self.assertEqual(self.blocked(), b'["a@b.test","b@b.test"]')
        self.assertEqual(self.bring(privacy(deny % "c"), overwrite=True)[1], "block lists: 1 replaced")
        self.assertEqual(self.blocked(), b'["c@b.test"]')

    def test_a_list_of_the_blocking_command_is_taken(self) -> None:
        self.bring("<blocklist xmlns='urn:xmpp:blocking'><item jid='a@b.test'/></blocklist>")
        self.assertEqual(self.blocked(), b'["a@b.test"]')

    # -- §4.11: archives ----------------------------------------------------------------------------------------------

    def test_archived_messages_are_found_at_their_time(self) -> None:
        sent = result(
            "What man art thou?", "2010-07-10T23:09:32Z", "5d398", "romeo@montague.net/orchard", f"{JULIET}/b"
        )
        told = self.bring(archive(result("Call me but love", "2010-07-10T23:08:25Z", "28482-98726-73623"), sent))
        self.assertEqual(told[1], "archived messages: 2 added")
        one, two = self.rows()
        self.assertEqual(
            (one.id, one.peer, one.resource, one.sent), (1278803305000000, "romeo@montague.net", "orchard", False)
        )
        self.assertEqual(
            (two.id, two.peer, two.resource, two.sent), (1278803372000000, "romeo@montague.net", "orchard", True)
        )

    def test_messages_of_one_second_stay_in_their_order_and_are_known_again(self) -> None:
        results = [result(f"number {number}", "2010-07-10T23:08:25Z", f"id-{number}") for number in range(5)]
        self.bring(archive(*results))
        rows = self.rows()
        self.assertEqual([row.id - rows[0].id for row in rows], [0, 1, 2, 3, 4])
        self.assertEqual([b"number %d" % n in row.stanza for n, row in enumerate(rows)], [True] * 5)
        self.assertEqual(self.bring(archive(*results))[1], "archived messages: 5 there already")
        self.assertEqual(self.rows(), rows)

    def test_two_archived_messages_that_say_the_same_in_one_second_are_two(self) -> None:
        results = [result("Ay me", "2010-07-10T23:08:25Z", f"id-{number}") for number in range(3)]
        self.assertEqual(self.bring(archive(*results[:2]))[1], "archived messages: 2 added")
        self.assertEqual(self.bring(archive(*results[:2]))[1], "archived messages: 2 there already")
        self.assertEqual(self.bring(archive(*results))[1], "archived messages: 1 added, 2 there already")
        self.assertEqual([row.id - self.rows()[0].id for row in self.rows()], [0, 1, 2])

    def test_an_archived_message_that_stands_there_twice_is_one(self) -> None:
        once = result("Ay me", "2010-07-10T23:08:25Z", "id")
        self.assertEqual(self.bring(archive(once, once))[1], "archived messages: 1 added, 1 there already")

    def test_an_id_that_is_the_time_in_microseconds_is_kept(self) -> None:
        self.bring(
            archive(result("x", "2010-07-10T23:08:25Z", "1278803305123456"), result("y", "2010-07-10T23:08:26Z", "7"))
        )
        self.assertEqual([row.id for row in self.rows()], [1278803305123456, 1278803306000000])

    def test_an_id_that_this_server_told_is_kept(self) -> None:
        told = self.world.server.archive_ids.encode(1278803305123456)
        self.bring(archive(result("x", "2010-07-10T23:08:25Z", told)))
        self.assertEqual([row.id for row in self.rows()], [1278803305123456])

    def test_an_id_of_another_time_is_none_of_this_message(self) -> None:
        told = self.world.server.archive_ids.encode(1278803505123456)
        self.bring(archive(result("x", "2010-07-10T23:08:25Z", told)))
        self.assertEqual([row.id for row in self.rows()], [1278803305000000])

    def test_an_id_that_another_server_told_is_the_time_of_its_message(self) -> None:
        told = ArchiveIds(bytes(16)).encode(1278803305123456)
        self.bring(archive(result("x", "2010-07-10T23:08:25.123456Z", told)))
        self.assertEqual([row.id for row in self.rows()], [1278803305123456])

    def test_what_has_not_come_yet_is_not_taken(self) -> None:
        """Its id would be given again, to a message that comes then."""
        told = self.bring(archive(result("x", "2200-01-01T00:00:00Z")))
        self.assertIn("the message has not come yet, says the time it came", told[-1])
        self.assertEqual(self.rows(), [])

    def test_results_that_make_no_sense_are_told(self) -> None:
        inside = archive(
            "<result xmlns='urn:xmpp:mam:2'/>",
            result("x", "yesterday"),
            result("y", "2020-01-01T00:00:00Z", sender="@"),
        )
        self.assertEqual(sum("not taken" in line for line in self.bring(inside)), 3)

    def test_ids_that_claim_to_be_ours_are_taken_out(self) -> None:
        claim = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{JULIET}' id='1'/>"
        self.bring(archive(result("x", "2020-01-01T00:00:00Z").replace("</message>", f"{claim}</message>")))
        self.assertNotIn(b"stanza-id", self.rows()[0].stanza)

    def test_preferences_that_are_there_stay(self) -> None:
        prefs = "<prefs xmlns='urn:xmpp:mam:2' default='%s'/>"
        self.bring(prefs % "never")
        self.assertEqual(self.bring(prefs % "roster")[1], "archive preferences: 1 there already")
        self.assertEqual(self.everything()["juliet"]["preferences"].default, "never")

    def test_of_too_many_messages_of_one_time_some_are_told(self) -> None:
        self.patch(moving, "MOST_LOOKED_AT", 3)
        told = self.bring(archive(*(result(str(number), "2020-01-01T00:00:00Z") for number in range(5))))
        self.assertEqual(told[1], "archived messages: 3 added")
        self.assertRegex(told[-1], "too many messages of that time .*the first of 2")

    def test_where_more_messages_wait_than_can_be_compared_none_is_brought(self) -> None:
        self.patch(offline_moving, "MOST_COMPARED", 2)
        message = "<message xmlns='jabber:client' from='romeo@montague.net'><body>%d</body></message>"
        self.bring(f"<offline-messages>{''.join(message % number for number in range(3))}</offline-messages>")
        told = self.bring(f"<offline-messages>{message % 9}</offline-messages>")
        self.assertIn("more than 2 messages wait already", told[-1])

    def test_messages_that_the_archive_keeps_for_who_is_not_there_move_as_well(self) -> None:
        modules = {**MODULES, "mod_offline": {"use_mam_for_storage": True}}
        world = self.new_world(modules=modules)
        world.register(JULIET)
        world.client("romeo@example.org/x").send(f"<message to='{JULIET}'><body>Ay me</body></message>")
        world.advance(1)
        self.ask("export_piefxis", world, dir=self.folder / "out")
        other = self.new_world(modules=modules)
        other.advance(60)
        told = self.ask("import_piefxis", other, file=self.folder / "out" / "server-data.xml")
        self.assertIn("offline messages: 1 added", told)
        juliet = other.client(f"{JULIET}/balcony")
        juliet.send("<presence/>")
        other.advance(2)
        (message,) = [each for each in juliet.drain() if each.name == "message"]
        ids = [child.get("id") or "" for child in message.elements() if child.name == "stanza-id"]
        self.assertEqual([other.server.archive_ids.decode(id) for id in ids], [row.id for row in self.rows(other)])

    def test_messages_that_wait_are_known_by_ids_of_this_server(self) -> None:
        """As those that have come to the archive: by its own ids, and by numbers, which ejabberd has for ids."""
        told = self.world.server.archive_ids.encode(1278803305123456)
        others = ArchiveIds(bytes(16)).encode(1278803305123456)
        self.brought_with((JULIET, told), ("room@far", "x"), told=told)
        self.brought_with(("room@far", "x"), (JULIET, "1278803305123456"), told=told)
        self.brought_with((JULIET, "7"), (JULIET, others), ("room@far", "x"), told=None)
        # "at most one <stanza-id/> extension element with the same XMPP address".
        self.brought_with((JULIET, "7"), (JULIET, told), (JULIET, told), ("room@far", "x"), told=told)

    def brought_with(self, *claims: tuple[str, str], told: str | None) -> None:
        """Juliet gets a message that comes with these ids: with that one, and another's."""
        inside = "".join(f"<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='{id}'/>" for by, id in claims)
        inside += "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2010-07-10T23:08:25Z'/>"
        message = f"<message xmlns='jabber:client' from='romeo@montague.net'><body>hark</body>{inside}</message>"
        self.bring(f"<offline-messages>{message}</offline-messages>")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send("<presence/>")
        self.world.advance(2)
        (message,) = [each for each in juliet.drain() if each.name == "message"]
        ids = [(child.get("by"), child.get("id")) for child in message.elements() if child.name == "stanza-id"]
        self.assertEqual(ids, [("room@far", "x"), *([] if told is None else [(JULIET, told)])])
        juliet.close()
        self.world.pump()
