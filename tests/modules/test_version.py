from __future__ import annotations

import platform
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix import __version__
from federix.testing import World

from .neighbours import reload

ASK = "<iq type='get' to='example.org' id='1'><query xmlns='jabber:iq:version'/></iq>"


class VersionTests(SynchronousTestCase):
    def client(self, modules: dict[str, Any], config: dict[str, Any] | None = None) -> Any:
        self.world = World(config, modules=modules)
        self.addCleanup(self.world.stop)
        return self.world.client("romeo@example.org/orchard")

    def test_name_and_version_are_required_in_a_result(self) -> None:
        """XEP-0092 §2."""
        romeo = self.client({"mod_version": {}})
        romeo.send(ASK)
        romeo.expect(
            "<iq type='result' from='example.org' to='romeo@example.org/orchard' id='1'><query"
            f" xmlns='jabber:iq:version'><name>Federix</name><version>{__version__}</version></query></iq>",
            exact=True,
        )

    def test_the_operating_system_is_told_only_if_the_operator_says_so(self) -> None:
        """§5: an application MUST provide a way to disable sharing of information about the operating system."""
        romeo = self.client({"mod_version": {}})
        self.assertNotIn("<os>", romeo.request(ASK).to_xml())
        reload(self.world, {"mod_version": {"show_os": True}})
        self.assertIn(f"<os>{platform.system()} ", romeo.request(ASK).to_xml())

    def test_the_operator_may_have_another_version_shown(self) -> None:
        romeo = self.client({"mod_version": {}}, {"version": "of the day"})
        self.assertIn("<version>of the day</version>", romeo.request(ASK).to_xml())

    def test_the_feature_is_reported(self) -> None:
        romeo = self.client({"mod_version": {}, "mod_disco": {}})
        info = romeo.request(
            "<iq type='get' to='example.org' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        self.assertIn("<feature var='jabber:iq:version'/>", info.to_xml())
