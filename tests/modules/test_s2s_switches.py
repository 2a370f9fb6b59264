"""mod_s2s_bidi and mod_s2s_dialback: what the connections of a host see of them."""

from __future__ import annotations

from typing import Any

from federix.core.s2s_rules import ANYWHERE, dialback_suffices, uses_bidi, uses_dialback
from tests.core.support import WorldTestCase

from .neighbours import reload

IP = "192.0.2.1"
ONE_ALONE = {"access": [{"allow": {"server": "old.example"}}]}


class Switches(WorldTestCase):
    def begin(self, modules: dict[str, Any], **config: Any) -> None:
        self.world = self.new_world(modules=modules, config=config)
        self.host = self.world.host("example.org")

    def test_a_host_without_the_modules_has_neither(self) -> None:
        self.begin({})
        self.assertFalse(uses_bidi(self.host))
        self.assertFalse(uses_dialback(self.host))
        self.assertFalse(dialback_suffices(self.host, "remote.example", IP))

    def test_each_module_switches_its_own(self) -> None:
        self.begin({"mod_s2s_bidi": {}})
        self.assertEqual((uses_bidi(self.host), uses_dialback(self.host)), (True, False))
        self.begin({"mod_s2s_dialback": {}})
        self.assertEqual((uses_bidi(self.host), uses_dialback(self.host)), (False, True))
        self.assertTrue(dialback_suffices(self.host, "remote.example", IP))

    def test_a_reload_switches_off_and_on(self) -> None:
        self.begin({"mod_s2s_bidi": {}, "mod_s2s_dialback": {}})
        reload(self.world, {})
        self.assertEqual((uses_bidi(self.host), uses_dialback(self.host)), (False, False))
        reload(self.world, {"mod_s2s_bidi": {}, "mod_s2s_dialback": {}})
        self.assertEqual((uses_bidi(self.host), uses_dialback(self.host)), (True, True))

    def test_one_host_may_have_what_another_has_not(self) -> None:
        world = self.new_world(
            hosts=("example.org", "example.net"),
            modules={"mod_s2s_bidi": {}},
            config={"host_config": {"example.net": {"modules": {}}}},
        )
        self.assertTrue(uses_bidi(world.host("example.org")))
        self.assertFalse(uses_bidi(world.host("example.net")))

    def test_dialback_may_suffice_for_some_servers_alone(self) -> None:
        self.begin({"mod_s2s_dialback": ONE_ALONE})
        self.assertTrue(uses_dialback(self.host))
        self.assertTrue(dialback_suffices(self.host, "old.example", IP))
        self.assertFalse(dialback_suffices(self.host, "remote.example", IP))

    def test_dialback_may_suffice_for_some_addresses_alone(self) -> None:
        self.begin({"mod_s2s_dialback": {"access": [{"allow": {"ip": "192.0.2.0/24"}}]}})
        self.assertTrue(dialback_suffices(self.host, "remote.example", IP))
        self.assertTrue(dialback_suffices(self.host, "remote.example", ANYWHERE))
        self.assertFalse(dialback_suffices(self.host, "remote.example", "198.51.100.1"))

    def test_a_reload_changes_for_whom(self) -> None:
        self.begin({"mod_s2s_dialback": {}})
        reload(self.world, {"mod_s2s_dialback": ONE_ALONE})
        self.assertFalse(dialback_suffices(self.host, "remote.example", IP))
        self.assertTrue(dialback_suffices(self.host, "old.example", IP))

    def test_the_old_word_for_certificates_alone_is_stronger_than_the_module(self) -> None:
        self.begin({"mod_s2s_dialback": {}}, s2s_use_starttls="required_trusted")
        self.assertFalse(uses_dialback(self.host))
        self.assertFalse(dialback_suffices(self.host, "remote.example", IP))
