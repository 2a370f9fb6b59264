"""With whom a host speaks: s2s_access by domain and address, and what modules say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.core import hooks
from federix.core.access import Access
from federix.core.module import Module
from federix.core.s2s_rules import ANYWHERE, allowed, speaks_with

from .support import WorldTestCase

GOOD, BAD = "192.0.2.1", "198.51.100.1"


class Rules(SynchronousTestCase):
    def allowed(self, rule: list[object], ip: str | None, remote: str = "remote.example") -> bool:
        sections = {"acl": {"bad": [{"ip": f"{BAD}/24"}, {"server": "spam.example"}]}, "access_rules": {"r": rule}}
        return allowed(Access.read(sections, ("example.org",)), "r", remote, ip, "example.org")

    def test_a_rule_is_asked_about_domain_and_address(self) -> None:
        rule = [{"deny": "bad"}, "allow"]
        self.assertTrue(self.allowed(rule, GOOD))
        self.assertFalse(self.allowed(rule, BAD))
        self.assertFalse(self.allowed(rule, GOOD, "spam.example"))
        self.assertTrue(self.allowed(rule, None))

    def test_an_address_that_is_not_known_yet_denies_nobody(self) -> None:
        rule = [{"deny": "bad"}, "allow"]
        self.assertTrue(self.allowed(rule, ANYWHERE))
        self.assertFalse(self.allowed(rule, ANYWHERE, "spam.example"))

    def test_an_address_that_is_not_known_yet_may_be_one_that_is_allowed(self) -> None:
        rule: list[object] = [{"allow": [{"ip": "192.0.2.0/24"}, {"server": "remote.example"}]}]
        self.assertTrue(self.allowed(rule, ANYWHERE))
        self.assertTrue(self.allowed(rule, GOOD))
        self.assertFalse(self.allowed(rule, BAD))
        self.assertFalse(self.allowed(rule, None))
        self.assertFalse(self.allowed(rule, ANYWHERE, "other.example"))

    def test_where_no_address_is_allowed_that_is_known_at_once(self) -> None:
        self.assertFalse(self.allowed([{"deny": "all"}, {"allow": {"ip": "192.0.2.0/24"}}], ANYWHERE))

    def test_a_local_user_is_no_server(self) -> None:
        self.assertFalse(self.allowed([{"allow": {"user_regexp": ""}}], GOOD, "example.org"))


class Doorman(Module):
    """Asked first; what it says is set by a test."""

    name = "mod_doorman"
    says: Any = (True,)

    @hooks.s2s_allow_host
    def judge(self, local: str, remote: str) -> Iterable[bool]:
        self.asked = (local, remote)
        if isinstance(self.says, Exception):
            raise self.says
        found: Iterable[bool] = self.says
        return found


class Second(Module):
    """Always content."""

    name = "mod_second"

    @hooks.s2s_allow_host
    def judge(self, local: str, remote: str) -> Iterable[bool]:
        return [True]


class Hosts(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.new_world(
            hosts=("example.org", "example.net"),
            config={
                "acl": {"bad": {"server": "spam.example"}},
                "s2s_access": [{"deny": "bad"}, "allow"],
                "host_config": {"example.net": {"s2s_access": "none"}},
            },
            modules={"mod_doorman": {}, "mod_second": {}},
            own_modules={"mod_doorman": Doorman, "mod_second": Second},
        )
        self.host = self.world.host("example.org")
        self.doorman = self.host.module(Doorman)

    def speaks(self, remote: str = "remote.example", host: str = "example.org") -> bool:
        return speaks_with(self.world.host(host), remote, GOOD)

    def test_each_host_has_a_rule_of_its_own(self) -> None:
        self.assertTrue(self.speaks())
        self.assertFalse(self.speaks("spam.example"))
        self.assertFalse(self.speaks(host="example.net"))

    def test_modules_are_asked_as_well_and_one_no_refuses(self) -> None:
        self.assertTrue(self.speaks())
        self.assertEqual(self.doorman.asked, ("example.org", "remote.example"))
        self.doorman.says = [False]
        self.assertFalse(self.speaks())

    def test_a_module_that_says_nothing_has_not_said_yes(self) -> None:
        self.doorman.says = []
        self.assertFalse(self.speaks())

    def test_a_module_that_crashes_has_not_said_yes(self) -> None:
        self.doorman.says = ValueError("a bug")
        self.assertFalse(self.speaks())
        self.failures(ValueError)

    def test_each_has_one_answer(self) -> None:
        self.doorman.says = [True, True]
        self.assertFalse(self.speaks())

    def test_a_reload_changes_the_rule(self) -> None:
        settings = {**self.world.settings, "s2s_access": "none"}
        self.world.run(self.world.server.reload(self.world.configure(settings)))
        self.assertFalse(self.speaks())
