"""Who may do what: access lists, access rules, shapers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.core.access import Access, AccessRule, Rate, ShaperRule, Who
from federix.core.options import ConfigErrors, MapNode, Reader, node_of
from federix.xmpp.jid import JID

HOSTS = ("example.org", "example.net")
ALICE = Who(JID("alice", "example.org", "phone"), "192.0.2.7", "example.org")
BOB = Who(JID("bob", "example.org", "desk"), "2001:db8::7", "example.org")
STRANGER = Who(JID("alice", "elsewhere.test", "x"), "198.51.100.1", "example.org")
NOBODY = Who()


def access(**sections: object) -> Access:
    return Access.read(sections, HOSTS)


def matched(condition: object) -> str:
    """The initials of those for whom *condition* holds."""
    rules = access(acl={"them": condition}, access_rules={"rule": [{"allow": "them"}]})
    who = {"A": ALICE, "B": BOB, "S": STRANGER, "-": NOBODY}
    return "".join(name for name, one in who.items() if rules.allows("rule", one))


def complaints(**sections: object) -> list[str]:
    try:
        access(**sections)
    except ConfigErrors as errors:
        return [str(problem) for problem in errors.problems]
    return []


class Lists(SynchronousTestCase):
    def test_a_user_without_a_host_is_one_of_ours(self) -> None:
        self.assertEqual(matched({"user": "alice"}), "A")

    def test_a_user_may_name_the_host(self) -> None:
        self.assertEqual(matched({"user": "alice@elsewhere.test"}), "S")
        self.assertEqual(matched({"user": {"Alice": "Elsewhere.Test"}}), "S")

    def test_alternatives_are_enough_one_by_one(self) -> None:
        self.assertEqual(matched({"user": ["alice@example.org", "bob@example.org"]}), "AB")
        self.assertEqual(matched([{"user": "bob"}, {"server": "elsewhere.test"}]), "BS")

    def test_patterns_of_users(self) -> None:
        self.assertEqual(matched({"user_regexp": ""}), "AB")
        self.assertEqual(matched({"user_regexp": "^al"}), "A")
        self.assertEqual(matched({"user_regexp": {"^al": "elsewhere.test"}}), "S")
        self.assertEqual(matched({"user_regexp": "^al@elsewhere.test"}), "S")
        self.assertEqual(matched({"user_glob": "?lic*"}), "A")
        self.assertEqual(matched({"user_glob": "lic"}), "")

    def test_servers_and_resources(self) -> None:
        self.assertEqual(matched({"server": "Example.ORG"}), "AB")
        self.assertEqual(matched({"server_regexp": r"\.org$"}), "AB")
        self.assertEqual(matched({"server_glob": "*.test"}), "S")
        self.assertEqual(matched({"resource": "desk"}), "B")
        self.assertEqual(matched({"resource_regexp": "^[pd]"}), "AB")
        self.assertEqual(matched({"resource_glob": "ph*"}), "A")

    def test_patterns_of_user_and_server(self) -> None:
        self.assertEqual(matched({"node_regexp": {"^alice$": "."}}), "AS")
        self.assertEqual(matched({"node_glob": {"*": "*.org"}}), "AB")

    def test_addresses_and_networks(self) -> None:
        self.assertEqual(matched({"ip": "192.0.2.0/24"}), "A")
        self.assertEqual(matched({"ip": ["2001:db8::/32", "198.51.100.1"]}), "BS")

    def test_ipv4_inside_ipv6_is_ipv4(self) -> None:
        rules = access(access_rules={"rule": [{"allow": {"ip": "192.0.2.0/24"}}]})
        self.assertTrue(rules.allows("rule", Who(ip="::ffff:192.0.2.9")))
        mapped = access(access_rules={"rule": [{"allow": {"ip": "::ffff:192.0.2.0/120"}}]})
        self.assertTrue(mapped.allows("rule", Who(ip="192.0.2.9")))

    def test_a_unix_socket_is_in_no_network(self) -> None:
        rules = access(access_rules={"rule": [{"deny": {"ip": "192.0.2.0/24"}}, {"allow": "all"}]})
        self.assertTrue(rules.allows("rule", Who(ip="unix socket")))
        self.assertFalse(rules.allows("trusted_network", Who(ip="unix socket")))

    def test_a_list_may_name_a_list(self) -> None:
        rules = access(
            acl={"inner": {"user": "bob"}, "outer": [{"acl": "inner"}, {"user": "alice"}]},
            access_rules={"rule": [{"allow": "outer"}]},
        )
        self.assertEqual([rules.allows("rule", who) for who in (ALICE, BOB, STRANGER)], [True, True, False])

    def test_a_list_must_not_lead_back_to_itself(self) -> None:
        found = complaints(acl={"a": {"acl": "b"}, "b": {"acl": "a"}, "c": {"user": "x"}})
        self.assertEqual([text.split(":")[0] for text in found], ["acl.a", "acl.b"])

    def test_lists_may_stand_in_each_other_only_so_deep(self) -> None:
        lists = {f"l{level}": {"acl": f"l{level + 1}"} for level in range(12)} | {"l12": {"user": "x"}}
        self.assertTrue(complaints(acl=lists))
        self.assertFalse(complaints(acl={f"m{level}": {"acl": f"m{level + 1}"} for level in range(8)} | {"m8": "all"}))


class Rules(SynchronousTestCase):
    def test_the_first_line_that_applies_decides(self) -> None:
        rules = access(access_rules={"rule": [{"deny": {"user": "bob"}}, "allow"]})
        self.assertEqual([rules.allows("rule", who) for who in (ALICE, BOB)], [True, False])
        turned = access(access_rules={"rule": ["allow", {"deny": {"user": "bob"}}]})
        self.assertTrue(turned.allows("rule", BOB))

    def test_a_map_keeps_its_order(self) -> None:
        rules = access(access_rules={"rule": {"deny": {"user": "bob"}, "allow": "all"}})
        self.assertEqual([rules.allows("rule", who) for who in (ALICE, BOB)], [True, False])

    def test_no_line_that_applies_refuses(self) -> None:
        self.assertFalse(access(access_rules={"rule": [{"allow": {"user": "bob"}}]}).allows("rule", ALICE))
        self.assertFalse(access(access_rules={"rule": []}).allows("rule", ALICE))

    def test_in_one_line_all_conditions_must_hold(self) -> None:
        both = access(access_rules={"rule": [{"allow": [{"user": "alice"}, {"ip": "192.0.2.0/24"}]}]})
        self.assertTrue(both.allows("rule", ALICE))
        self.assertFalse(both.allows("rule", Who(ALICE.jid, "198.51.100.1")))
        as_map = access(access_rules={"rule": [{"allow": {"user": "alice", "ip": "10.0.0.0/8"}}]})
        self.assertFalse(as_map.allows("rule", ALICE))

    def test_a_line_that_can_never_hold_is_warned_of(self) -> None:
        reader = Reader()
        Access.read({"access_rules": {"rule": [{"allow": {"user": ["alice", "bob"]}}]}}, HOSTS, reader)
        self.assertEqual([warning.path for warning in reader.warnings], ["access_rules.rule[0]"])
        fine = Reader()
        line = {"allow": [{"user": "alice"}, {"ip": "10.0.0.0/8"}, {"ip": "10.1.0.0/16"}, {"resource": "x"}]}
        Access.read({"access_rules": {"rule": [line]}}, HOSTS, fine)
        self.assertEqual(fine.warnings, [])

    def test_a_rule_may_be_written_on_the_spot(self) -> None:
        rules = access(acl={"friends": {"user": "bob"}})
        rule = AccessRule.read_node(node_of([{"allow": "friends"}]), "x", Reader())
        self.assertEqual([rules.allows(rule, who) for who in (ALICE, BOB)], [False, True])

    def test_all_and_none_are_reserved(self) -> None:
        self.assertTrue(access().allows("all", NOBODY))
        self.assertFalse(access().allows("none", ALICE))
        self.assertEqual(complaints(access_rules={"all": "deny"}), ["access_rules.all: has a reserved name"])

    def test_a_rule_nobody_defined_refuses(self) -> None:
        self.assertFalse(access().allows("no such rule", ALICE))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_check_that_crashes_refuses(self) -> None:
        rules = access(access_rules={"rule": [{"deny": {"ip": "10.0.0.0/8"}}, "allow"]})
        self.assertTrue(rules.allows("rule", ALICE))
        self.assertFalse(rules.allows("rule", Who(ALICE.jid, "not an address")))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_shared_groups_refuse_and_are_warned_of(self) -> None:
        reader = Reader()
        rules = Access.read({"access_rules": {"r": [{"deny": {"shared_group": "g"}}, "allow"]}}, HOSTS, reader)
        self.assertEqual(len(reader.warnings), 1)
        self.assertFalse(rules.allows("r", ALICE))
        self.assertEqual(len(self.flushLoggedErrors(NotImplementedError)), 1)

    def test_well_known_rules_have_their_usual_meaning(self) -> None:
        rules = access(acl={"admin": {"user": "alice@example.org"}, "blocked": {"user": "bob@example.org"}})
        table = {
            name: [rules.allows(name, who) for who in (ALICE, BOB, STRANGER)] for name in ("c2s", "local", "announce")
        }
        self.assertEqual(
            table, {"c2s": [True, False, True], "local": [True, True, False], "announce": [True, False, False]}
        )
        self.assertTrue(rules.allows("trusted_network", Who(ip="127.0.0.1")))
        self.assertFalse(rules.allows("trusted_network", ALICE))


class Shapers(SynchronousTestCase):
    def test_a_shaper_has_a_rate_and_a_burst(self) -> None:
        rules = access(shaper={"slow": 100, "quick": {"rate": 1000, "burst_size": "5 KiB"}, "free": "infinity"})
        self.assertEqual(rules.shaper("slow"), Rate(100, 100))
        self.assertEqual(rules.shaper("quick"), Rate(1000, 5120))
        self.assertIsNone(rules.shaper("free"))
        self.assertIsNone(rules.shaper(None))

    def test_a_shaper_rule_gives_a_name_a_number_or_nothing(self) -> None:
        rules = access(
            shaper_rules={
                "speed": [{"none": {"user": "alice"}}, {"fast": {"user": "bob"}}, "normal"],
                "many": [{7: "all"}],
            }
        )
        self.assertEqual([rules.value("speed", who) for who in (ALICE, BOB, STRANGER)], [None, "fast", "normal"])
        self.assertEqual(rules.value("many", ALICE), 7)
        self.assertEqual(rules.rate("speed", BOB), rules.shaper("fast"))

    def test_no_choice_that_applies_is_no_limit(self) -> None:
        self.assertIsNone(access(shaper_rules={"r": [{5: {"user": "bob"}}]}).value("r", ALICE))

    def test_a_shaper_rule_may_be_written_on_the_spot(self) -> None:
        rule = ShaperRule.read_node(node_of([{"none": {"user": "bob"}}, "fast"]), "x", Reader())
        self.assertEqual([access().value(rule, who) for who in (ALICE, BOB)], ["fast", None])
        self.assertEqual(access().value(ShaperRule.read_node(node_of(12), "x", Reader()), ALICE), 12)

    def test_a_shaper_may_stand_for_a_shaper_rule(self) -> None:
        self.assertEqual(access().value("fast", ALICE), "fast")
        self.assertIsNone(access().value("none", ALICE))

    def test_a_choice_that_crashes_gives_the_strictest(self) -> None:
        rules = access(
            shaper_rules={"n": [{50: {"ip": "10.0.0.0/8"}}, 9], "s": [{"none": {"ip": "::/0"}}, "fast", "normal"]}
        )
        self.assertEqual(rules.value("n", Who(ip="broken")), 9)
        self.assertEqual(rules.value("s", Who(ip="broken")), "normal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)


class Complaints(SynchronousTestCase):
    def test_names_that_lead_nowhere_are_told(self) -> None:
        self.assertEqual(
            complaints(
                access_rules={"r": [{"allow": "admn"}]},
                shaper_rules={"s": [{"fst": "all"}]},
                shaper={"x": {"burst_size": 1}},
            ),
            [
                "shaper.x: lacks its rate",
                "access_rules.r[0].allow: no acl is called 'admn', did you mean 'admin'?",
                "shaper_rules.s[0]: no shaper is called 'fst', did you mean 'fast'?",
            ],
        )

    def test_bad_patterns_and_addresses_are_told(self) -> None:
        found = complaints(
            acl={"a": {"user_regexp": "("}, "b": {"ip": "300.1.1.1"}, "c": {"user": "a@b@c"}, "d": {"node_glob": "x"}}
        )
        self.assertEqual([text.split(":")[0] for text in found], [
            "acl.a.user_regexp", "acl.b.ip", "acl.c.user", "acl.d.node_glob",
        ])  # fmt: skip

    def test_a_pattern_has_a_bound(self) -> None:
        self.assertTrue(complaints(acl={"a": {"user_regexp": "x" * 1001}}))
        self.assertFalse(complaints(acl={"a": {"user_regexp": "x" * 1000}}))

    def test_an_unknown_verdict_is_told(self) -> None:
        self.assertEqual(
            complaints(access_rules={"r": [{"alow": "all"}]}),
            ["access_rules.r[0]: must be 'allow' or 'deny', not 'alow'"],
        )


KINDS = st.sampled_from(
    ["user", "user_regexp", "user_glob", "server", "ip", "acl", "node_glob", "allow", "deny", "x", "5"]
)
RUBBISH = st.recursive(
    st.none() | st.integers() | st.text(max_size=6) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KINDS | st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


class Properties(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(st.sampled_from(["acl", "access_rules", "shaper", "shaper_rules"]), RUBBISH))
    def test_rubbish_raises_nothing_else(self, sections: dict[str, object]) -> None:
        try:
            Access.read(sections, HOSTS)
        except ConfigErrors as errors:
            self.assertTrue(errors.problems)

    def test_an_empty_map_is_all_defaults(self) -> None:
        self.assertTrue(Access.read(MapNode(), HOSTS).allows("c2s", ALICE))
