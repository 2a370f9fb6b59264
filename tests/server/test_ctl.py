"""The commands of a server, as its operator would use them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from federix.api import Module, Slot, hooks
from federix.core.chain import Place as InChain
from federix.core.commands import Command, CommandError, Commands
from federix.core.options import Place
from federix.server.config import Config, ConfigErrors, Problem
from federix.server.ctl import commands, place
from federix.server.ctl.commands import STOP_AFTER, Process, ServerCommands, duration
from federix.server.start import DATA
from federix.streams.certificates import self_signed
from federix.streams.tls import TlsSettingsError
from federix.testing import World
from federix.testing.world import BEGINNING


class Needed(Module):
    name = "mod_needed"


class Needing(Module):
    name = "mod_needing"
    requires = (Needed,)


class Failing(Module):
    name = "mod_failing"

    async def on_start(self) -> None:
        raise RuntimeError("no luck")


#: A group of RFC 3526, as nobody should have to wait for one to be made.
DH_PARAMETERS = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA///////////JD9qiIWjCNMTGYouA3BzRKQJOCIpnzHQCC76mOxOb
IlFKCHmONATd75UZs806QxswKwpt8l8UN0/hNW1tUcJF5IW1dmJefsb0TELppjft
awv/XLb0Brft7jhr+1qJn6WunyQRfEsf5kkoZlHs5Fs9wgB8uKFjvwWY2kg2HFXT
mmkWP6j9JM9fg2VdI9yjrZYcYvNWIIVSu57VKQdwlpZtZww1Tkq8mATxdGwIyhgh
fDKQXkYuNs474553LBgOhgObJ4Oi7Aeij7XFXfBvTFLJ3ivL9pVYFxg5lUl86pVq
5RXSJhiY+gUQFXKOWoqsqmj//////////wIBAg==
-----END DH PARAMETERS-----
"""
NOW = datetime.fromtimestamp(BEGINNING, UTC)


class CtlTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(
            hosts=("example.org", "example.net"),
            modules={"mod_needed": {}},
            own_modules={"mod_needed": Needed, "mod_needing": Needing, "mod_failing": Failing},
        )
        self.addCleanup(self.world.stop)

    def ctl(self, name: str, **arguments: object) -> Any:
        return self.world.run(self.world.server.commands.run(name, arguments))

    def refused(self, name: str, **arguments: object) -> str:
        with self.assertRaises(CommandError) as caught:
            self.ctl(name, **arguments)
        return str(caught.exception)


class AccountsTest(CtlTest):
    def register(self, user: str = "juliet") -> None:
        self.ctl("register", user=user, host="example.org", password="balcony")

    def test_a_registered_account_can_log_in(self) -> None:
        self.register()
        self.world.client("juliet@example.org/room", "balcony")

    def test_names_are_prepared(self) -> None:
        self.assertEqual(
            self.ctl("register", user="Juliet", host="Example.ORG", password="balcony"),
            "juliet@example.org is registered",
        )
        self.ctl("check_account", user="JULIET", host="example.org")

    def test_an_account_is_registered_once(self) -> None:
        self.register()
        error = self.refused("register", user="juliet", host="example.org", password="other")
        self.assertIn("account of that name already", error)

    def test_an_empty_password_is_refused(self) -> None:
        self.assertIn("empty", self.refused("register", user="juliet", host="example.org", password=""))

    def test_a_name_that_cannot_be_is_refused(self) -> None:
        self.refused("register", user="ju@liet", host="example.org", password="balcony")
        self.refused("check_account", user="ju@liet", host="example.org")

    def test_an_unknown_host_is_told_with_those_that_are_served(self) -> None:
        self.assertEqual(
            self.refused("registered_users", host="example.com"),
            "example.com is not served here; the hosts are example.org, example.net",
        )

    def test_an_unregistered_account_is_gone_and_its_sessions_end(self) -> None:
        juliet = self.world.client("juliet@example.org/room")
        self.ctl("unregister", user="juliet", host="example.org")
        self.assertTrue(juliet.ended)
        self.assertIn("no account", self.refused("check_account", user="juliet", host="example.org"))
        self.assertIn("no account", self.refused("unregister", user="juliet", host="example.org"))

    def test_a_changed_password_is_the_password(self) -> None:
        self.register()
        self.ctl("change_password", user="juliet", host="example.org", newpass="window")
        self.ctl("check_password", user="juliet", host="example.org", password="window")
        self.assertIn(
            "not the password", self.refused("check_password", user="juliet", host="example.org", password="b")
        )

    def test_the_password_of_nobody_cannot_be_changed(self) -> None:
        self.assertIn("no such account", self.refused("change_password", user="x", host="example.org", newpass="y"))

    def test_accounts_are_listed_beyond_one_page(self) -> None:
        self.patch(commands, "PAGE", 2)
        for name in "abcde":
            self.register(name)
        self.assertEqual(self.ctl("registered_users", host="example.org"), [*"abcde"])
        self.assertEqual(self.ctl("registered_users", host="example.net"), [])

    def test_the_hosts_are_listed(self) -> None:
        self.assertEqual(self.ctl("registered_vhosts"), ["example.org", "example.net"])


class SessionsTest(CtlTest):
    def setUp(self) -> None:
        super().setUp()
        self.room = self.world.client("juliet@example.org/room")
        self.garden = self.world.client("juliet@example.org/garden")
        self.romeo = self.world.client("romeo@example.net/orchard")

    def test_sessions_are_listed_and_counted(self) -> None:
        everybody = ["juliet@example.org/room", "juliet@example.org/garden", "romeo@example.net/orchard"]
        self.assertEqual(self.ctl("connected_users"), everybody)
        self.assertEqual(self.ctl("connected_users_number"), 3)
        self.assertEqual(self.ctl("connected_users_vhost", host="example.net"), everybody[2:])
        self.assertEqual(self.ctl("user_resources", user="juliet", host="example.org"), ["room", "garden"])

    def test_a_kicked_session_hears_the_reason(self) -> None:
        self.ctl("kick_session", user="juliet", host="example.org", resource="room", reason="time to go")
        error = self.room.receive()
        self.assertEqual([child.name for child in error.elements()], ["policy-violation", "text"])
        self.assertEqual([*error.elements()][1].text, "time to go")
        self.assertTrue(self.room.ended)
        self.assertEqual(self.ctl("connected_users_number"), 2)

    def test_who_is_not_connected_cannot_be_kicked(self) -> None:
        error = self.refused("kick_session", user="juliet", host="example.org", resource="cellar")
        self.assertEqual(error, "juliet@example.org/cellar is not connected")

    def test_a_kicked_user_loses_all_sessions(self) -> None:
        self.assertEqual(self.ctl("kick_user", user="juliet", host="example.org"), 2)
        self.assertTrue(self.room.ended and self.garden.ended)
        self.assertFalse(self.romeo.ended)


class ServerTest(CtlTest):
    def test_the_status_says_what_runs(self) -> None:
        self.world.client("juliet@example.org/room")
        self.world.advance(3700)
        status = self.ctl("status")
        self.assertEqual((status["state"], status["uptime"], status["sessions"]), ("running", "1 h 1 min", 1))

    def test_the_figures_count_what_happens(self) -> None:
        juliet = self.world.client("juliet@example.org/room")
        romeo = self.world.client("romeo@example.org/orchard")
        before = self.ctl("stats")
        self.assertEqual((before["connections"], before["sessions"], before["requests_waiting"]), (2, 2, 0))
        romeo.send("<message to='juliet@example.org/room'><body>hi</body></message>")
        juliet.receive()
        romeo.send("<iq type='get' id='1'><nonsense xmlns='urn:example'/></iq>")
        after = self.ctl("stats")
        self.assertEqual(
            {name: after[name] - before[name] for name in after if after[name] != before[name]},
            {"stanzas_received": 2, "stanzas_sent_as_received": 1, "stanzas_sent_anew": 1},
        )

    def test_the_tree_begins_with_the_operators_own_part(self) -> None:
        self.assertEqual([row["part"] for row in self.ctl("tree")[:3]], ["federix", "  ctl", "  metrics"])
        self.assertEqual({row["state"] for row in self.ctl("tree")}, {"running"})

    def test_the_chains_are_shown_in_their_order(self) -> None:
        host = self.world.host("example.org")
        for owner, slot in (("mod_late", Slot.FALLBACK), ("mod_first", Slot.CHECK)):
            host.chains.add(lambda *_: None, InChain(hooks.user_send_packet, slot, ()), owner)
        self.assertEqual(
            self.ctl("hooks", host="example.org"),
            [
                {"host": "example.org", "hook": "user_send_packet", "slot": "CHECK", "module": "mod_first"},
                {"host": "example.org", "hook": "user_send_packet", "slot": "FALLBACK", "module": "mod_late"},
            ],
        )
        self.assertEqual(len(self.ctl("hooks")), 2)

    def test_the_modules_of_a_host_are_listed(self) -> None:
        self.assertEqual([row["module"] for row in self.ctl("modules", host="example.org")], ["mod_needed"])

    def test_the_configuration_in_force_is_shown(self) -> None:
        self.assertEqual(self.ctl("dump_config")["example.net: modules.mod_needed"], "on")

    def test_a_server_within_another_program_says_so(self) -> None:
        self.assertIn("part of another program", self.refused("reload_config"))
        self.assertIn("part of another program", self.refused("set_loglevel", loglevel="debug"))

    def test_stop_answers_first_and_stops_then(self) -> None:
        self.ctl("stop")
        self.assertTrue(self.world.server.running)
        self.world.advance(STOP_AFTER + 10)
        self.assertFalse(self.world.server.running)

    def test_every_command_is_explained(self) -> None:
        for each in self.world.server.commands:
            self.assertTrue(each.doc.endswith("."), each.name)


class WithProcessTest(CtlTest):
    def setUp(self) -> None:
        super().setUp()
        self.settings: dict[str, Any] = self.world.settings
        self.levels: list[str] = []
        self.stopped: list[bool] = []
        self.within(
            Process(
                lambda: self.reread(),
                lambda: self.stopped.append(True),
                self.levels.append,
                lambda config: self.levels.append(config.server.loglevel),
            )
        )

    def within(self, process: Process) -> None:
        self.world.server.commands = Commands()
        self.world.server.commands.add_all(ServerCommands(self.world.server, process))

    def reread(self) -> Config:
        return self.world.configure(self.settings)

    def test_a_reload_takes_what_the_file_says_now(self) -> None:
        self.settings = {**self.settings, "hosts": ["example.org", "example.com"], "loglevel": "debug"}
        self.assertEqual(self.ctl("reload_config"), [])
        self.assertEqual(self.ctl("registered_vhosts"), ["example.org", "example.com"])
        self.assertEqual(self.levels, ["debug"])

    def test_a_reload_tells_warnings(self) -> None:
        self.settings = {**self.settings, "certfiles": ["/nowhere/*.pem"]}
        self.assertIn("warning: ", self.ctl("reload_config")[0])

    def test_a_broken_file_changes_nothing_and_tells_all_that_is_wrong(self) -> None:
        before = self.world.server.config
        self.settings = {**self.settings, "hosts": ["example.com"], "loglevel": "loud", "negotiation_timeout": "long"}
        error = self.refused("reload_config")
        self.assertIn("loglevel", error)
        self.assertIn("negotiation_timeout", error)
        self.assertEqual(len(error.split("\n")), 2)
        self.assertIs(self.world.server.config, before)
        self.assertEqual(self.levels, [])

    def test_modules_that_cannot_start_together_change_nothing(self) -> None:
        before = self.world.server.config
        self.settings = {**self.settings, "modules": {"mod_needing": {}}}
        self.assertIn("mod_needing requires mod_needed", self.refused("reload_config"))
        self.assertIs(self.world.server.config, before)

    def test_a_port_that_is_taken_is_told(self) -> None:
        def taken(*_: object, **__: object) -> None:
            raise CannotListenError("127.0.0.1", 5299, OSError(98, "Address already in use"))

        self.patch(self.world.server.reactor, "listenTCP", taken)
        port = {"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": 5299}
        self.settings = {**self.settings, "listen": [*self.settings["listen"], port]}
        self.assertIn("127.0.0.1:5299", self.refused("reload_config"))

    def test_a_module_that_does_not_start_leaves_everything_as_it_was(self) -> None:
        before = self.world.server.config
        romeo = self.world.client("romeo@example.net/orchard")
        self.settings = {
            **self.settings,
            "hosts": ["example.org", "example.com"],
            "modules": {"mod_needed": {}, "mod_failing": {}},
        }
        error = self.refused("reload_config")
        self.assertRegex(
            error, r"^mod_failing could not start on example.org: RuntimeError: no luck \(.*test_ctl.py:\d+\)$"
        )
        self.assertIs(self.world.server.config, before)
        self.assertEqual(self.ctl("registered_vhosts"), ["example.org", "example.net"])
        self.assertEqual([row["module"] for row in self.ctl("modules", host="example.org")], ["mod_needed"])
        self.assertIsNone(romeo.lost)

    def test_a_port_that_is_taken_leaves_everything_as_it_was(self) -> None:
        before, listen = self.world.server.config, self.world.server.reactor.listenTCP
        modules = self.world.host("example.org").running_modules()

        def some_taken(port: int, *given: Any, **named: Any) -> Any:
            if port == 5299:
                raise CannotListenError("127.0.0.1", port, OSError(98, "Address already in use"))
            return listen(port, *given, **named)

        self.patch(self.world.server.reactor, "listenTCP", some_taken)
        port = {"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": 5299}
        self.settings = {**self.settings, "modules": {}, "listen": [self.settings["listen"][0], port]}
        self.refused("reload_config")
        self.assertIs(self.world.server.config, before)
        # What its modules know of sessions is still there, too.
        self.assertEqual(self.world.host("example.org").running_modules(), modules)
        self.assertEqual(len(self.world.server.listeners.children), 2)

    def test_what_needs_a_restart_is_told_and_not_shown_as_done(self) -> None:
        first, second = self.settings["listen"]
        self.settings = {
            **self.settings,
            "default_db": "memory",
            "sql_database": "other",
            "listen": [{**first, "backlog": 7}, second],
        }
        told = self.ctl("reload_config")
        self.assertEqual([line.split(":")[1].split(" ")[1] for line in told], ["default_db", "sql_database", "backlog"])
        self.assertTrue(all("needs a restart" in line for line in told), told)
        dumped = self.ctl("dump_config")
        self.assertEqual(
            (dumped["default_db"], dumped["sql_database"], dumped["listen[0].backlog"]), ("sql", ":memory:", "128")
        )

    def test_broken_certificates_are_told_and_that_the_old_one_stays(self) -> None:
        file = self.world.directory / "cert.pem"
        self_signed(self.world.directory, ["example.org", "example.net"], lambda: NOW).rename(file)
        self.settings = {**self.settings, "certfiles": [str(file)]}
        self.assertEqual(self.ctl("reload_config"), [])
        file.write_bytes(file.read_bytes()[:-100])
        told = self.ctl("reload_config")
        self.assertTrue(told[0].startswith(f"warning: certificate: {file}: "), told)
        self.assertIn("stays in use", told[-1])

    def test_ciphers_that_openssl_does_not_know_change_nothing(self) -> None:
        before = self.world.server.config
        self.settings = {**self.settings, "modules": {}, "c2s_ciphers": "NONSENSE"}
        self.assertIn("c2s_ciphers", self.refused("reload_config"))
        self.assertIs(self.world.server.config, before)

    def test_parameters_that_are_gone_by_now_change_nothing(self) -> None:
        file = self.world.directory / "dh.pem"
        file.write_text(DH_PARAMETERS)
        config = self.world.configure({**self.settings, "modules": {}, "c2s_dhfile": str(file)})
        file.unlink()
        before = self.world.server.config
        with self.assertRaises(TlsSettingsError):
            self.world.run(self.world.server.reload(config))
        self.assertIs(self.world.server.config, before)
        self.assertEqual([row["module"] for row in self.ctl("modules", host="example.org")], ["mod_needed"])

    def test_reloads_are_logged_with_their_outcome(self) -> None:
        told: list[str] = []

        def hear(event: Any) -> None:
            told.append(f"{event['log_level'].name}: {event['log_format'].format(**event)}")

        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        self.ctl("reload_config")
        self.assertIn("info: configuration reloaded", told)
        self.settings = {**self.settings, "negotiation_timeout": "long"}
        self.refused("reload_config")
        self.assertTrue(told[-1].startswith("error: configuration not reloaded: negotiation_timeout: "), told)

    def test_errors_come_with_their_place(self) -> None:
        def broken() -> Config:
            raise ConfigErrors([Problem("loglevel", "is loud", Place("federix.yml", 3, 7))])

        self.patch(self, "reread", broken)
        self.assertEqual(self.refused("reload_config"), "federix.yml:3:7: loglevel: is loud")

    def test_the_log_level_is_one_of_ejabberds(self) -> None:
        self.ctl("set_loglevel", loglevel="warning")
        self.assertEqual(self.levels, ["warning"])
        self.assertIn("one of none", self.refused("set_loglevel", loglevel="loud"))

    def test_stop_is_the_processs_to_do(self) -> None:
        self.ctl("stop")
        self.assertEqual(self.stopped, [])
        self.world.advance(STOP_AFTER)
        self.assertEqual(self.stopped, [True])
        self.assertTrue(self.world.server.running)


class PlaceTest(SynchronousTestCase):
    def test_both_ends_agree_on_the_data_directory(self) -> None:
        self.assertEqual(place.DATA, DATA)

    def test_a_short_path_is_itself(self) -> None:
        with place.socket_path(Path("/srv/federix")) as path:
            self.assertEqual(path, "/srv/federix/federixctl.sock")

    def test_a_duration_has_two_units(self) -> None:
        self.assertEqual(
            [duration(n) for n in (0, 59.9, 60, 3661, 90061)], ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h"]
        )

    def test_passwords_are_secret_arguments(self) -> None:
        for name in ("register", "check_password", "change_password"):
            described = Command.of(getattr(ServerCommands, name))
            self.assertEqual([a.secret for a in described.arguments], [False, False, True], name)
