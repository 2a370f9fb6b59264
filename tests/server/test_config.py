"""The configuration as a whole: what it gives, what it refuses, what it warns of."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.core.access import AccessRule, Who
from federix.core.component_options import ServiceOptions
from federix.core.listener_options import PROTOCOL_OPTIONS, C2SOptions, S2SInOptions
from federix.core.module import Module
from federix.core.options import Options, option
from federix.modules import MODULES
from federix.server import start as starting
from federix.server.config import DEFAULT_MODULES, Config, ConfigErrors, load, table
from federix.streams import tls
from federix.xmpp.jid import JID

EXAMPLE = Path(__file__).parent / "ejabberd26.yml"
LEVELS = "none, emergency, alert, critical, error, warning, notice, info, debug, or 0 to 5"
OURS = Path(__file__).parents[2] / "etc" / "federix.yml"


class Ping:
    @dataclass(frozen=True)
    class Options(Options):
        send_pings: bool = option(False, "Ping.")
        ping_interval: float = option(60.0, "How often.", unit="s")
        access: AccessRule = option(AccessRule("all"), "Whom.")
        host: str = option("ping.@HOST@", "Where.")


class Plain:
    """A module without options."""


def resolver(name: str) -> type | None:
    if name == "broken.module":
        raise ImportError("no such file")
    if name in DEFAULT_MODULES or name == "third.party":
        return Ping if name == "mod_ping" else Plain
    return None


def config(text: str, **more: Any) -> Config:
    return load(text, known_modules=resolver, **more)


def errors(text: str, **more: Any) -> list[str]:
    try:
        config(text, **more)
    except ConfigErrors as found:
        return [str(problem).removeprefix("<text>:") for problem in found.problems]
    return []


def warnings(text: str) -> list[str]:
    return [str(problem).removeprefix("<text>:") for problem in config(text).warnings]


class Top(SynchronousTestCase):
    def test_hosts_are_mandatory(self) -> None:
        self.assertEqual(errors("loglevel: info"), ["1:1: hosts: is missing: name the domains this server serves"])
        self.assertEqual(errors("hosts: []"), ["1:8: hosts: must name at least one domain"])

    def test_hosts_are_domains_each_once(self) -> None:
        self.assertEqual(config("hosts: [Example.ORG, münchen.example]").hosts, ("example.org", "münchen.example"))
        self.assertEqual(errors("hosts: [a.test, A.test]"), ["1:17: hosts: names 'a.test' twice"])
        self.assertEqual(len(errors("hosts: [a b]")), 1)

    def test_one_host_needs_no_list(self) -> None:
        self.assertEqual(config("hosts: example.org").hosts, ("example.org",))

    def test_levels_have_names_and_numbers(self) -> None:
        self.assertEqual(config("hosts: a.test\nloglevel: 5").server.loglevel, "debug")
        self.assertEqual(errors("hosts: a.test\nloglevel: inof"),
                         [f"2:11: loglevel: must be one of {LEVELS}, not 'inof', did you mean 'info'?"])  # fmt: skip

    def test_an_unknown_option_names_file_line_and_column(self) -> None:
        self.assertEqual(errors("hosts: a.test\n\nlangage: en"),
                         ["3:1: langage: unknown option, did you mean 'language'?"])  # fmt: skip

    def test_all_errors_come_at_once_in_the_order_of_the_file(self) -> None:
        found = errors("listen: 3\nmodules: {mod_pnig: {}}\nhosts: a.test\nacl: {x: {y: z}}\nlanguage: [en]")
        self.assertEqual([line.split(": ")[1] for line in found], ["listen", "modules.mod_pnig", "acl.x.y", "language"])

    def test_an_option_of_ejabberds_is_a_warning_with_its_line(self) -> None:
        self.assertEqual(
            warnings("hosts: a.test\ns2s_zlib: true"),
            ["2:1: s2s_zlib: is not supported: compression of streams gives secrets away by their length"],
        )

    def test_values_of_ejabberds_are_warnings_too(self) -> None:
        found = config("hosts: a.test\nauth_method: [ldap, internal]\ndefault_db: mnesia")
        self.assertEqual([(w.path, w.place.line) for w in found.warnings], [("auth_method", 2), ("default_db", 3)])
        self.assertEqual((found.options("a.test").auth_method, found.server.default_db), (("internal",), "sql"))

    def test_another_database_stops_the_start(self) -> None:
        self.assertEqual(
            errors("hosts: a.test\nsql_type: mssql"),
            ["2:11: sql_type: mssql is not supported: sqlite, pgsql and mysql work"],
        )

    def test_passwords_are_kept_in_the_forms_the_operator_chose(self) -> None:
        for text, types in [
            ("", ("scram_sha1", "scram_sha256", "scram_sha512")),
            ("auth_scram_hash: sha512", ("scram_sha512",)),
            ("auth_password_format: plain", ("plain",)),
            ("auth_stored_password_types: [scram_sha1, plain]", ("scram_sha1", "plain")),
        ]:
            self.assertEqual(config(f"hosts: a.test\n{text}").options("a.test").stored_password_types(), types)

    def test_a_mapping_does_as_well_as_a_file(self) -> None:
        found = load({"hosts": ["a.test"], "modules": {"mod_ping": {"ping_interval": 5}}}, known_modules=resolver)
        self.assertEqual(found.modules("a.test")["mod_ping"].options.ping_interval, 5)

    def test_certificates_are_found_by_pattern_from_the_files_folder(self) -> None:
        folder = Path(self.mktemp())
        (folder / "live").mkdir(parents=True)
        (folder / "live" / "a.pem").write_text("")
        (folder / "federix.yml").write_text("hosts: a.test\ncertfiles: ['live/*.pem', 'live/a.pem', 'gone/*.pem']")
        found = load(folder / "federix.yml")
        self.assertEqual(found.certificate_files(), [folder / "live" / "a.pem"])
        self.assertEqual(
            [warning.why for warning in found.warnings], ["no file matches 'gone/*.pem', so it brings no certificate"]
        )

    def test_every_wrong_domain_is_told(self) -> None:
        found = errors("hosts: [a b, a.test, 'c d', a.test]")
        self.assertEqual([problem.split(": ")[0] for problem in found], ["1:9", "1:22", "1:29"])

    def test_ciphers_and_parameters_are_tried_on_openssl(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "dh.pem").write_text("nonsense")
        path = folder / "federix.yml"
        path.write_text(
            "hosts: a.test\nc2s_ciphers: NONSENSE\nc2s_dhfile: dh.pem\n"
            "listen:\n- {module: ejabberd_c2s, port: 1, ciphers: WRONG, dhfile: gone.pem}\n"
        )
        found = [str(problem) for problem in self.assertRaises(ConfigErrors, load, path).problems]
        for problem, where in zip(
            found,
            ("2:14: c2s_ciphers: ", "3:13: c2s_dhfile: ", "5:44: listen[0].ciphers: ", "5:59: listen[0].dhfile: "),
            strict=True,
        ):
            self.assertTrue(problem.startswith(f"{path}:{where}"), problem)
        self.assertIn("OpenSSL finds no cipher in 'NONSENSE'", found[0])

    def test_mechanisms_that_nobody_knows_are_errors(self) -> None:
        self.assertEqual(
            errors("hosts: a.test\ndisable_sasl_mechanisms: [plain, SCRAM-SHA1, digest-md5]"),
            ["2:34: disable_sasl_mechanisms: 'SCRAM-SHA1' is no SASL mechanism, did you mean 'SCRAM-SHA-1'?"],
        )


class Listeners(SynchronousTestCase):
    def listen(self, *entries: str) -> str:
        return "hosts: a.test\nlisten:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)

    def test_a_listener_has_address_and_options(self) -> None:
        (found,) = config(self.listen("module: ejabberd_c2s, port: 5222, ip: '::1', max_stanza_size: 1 MiB")).listeners
        self.assertEqual(
            (found.module, found.port, found.path, found.ip, found.transport),
            ("ejabberd_c2s", 5222, None, "::1", "tcp"),
        )
        assert isinstance(found.options, C2SOptions)
        self.assertEqual((found.options.max_stanza_size, found.options.starttls_required), (1048576, True))
        self.assertEqual(found.name, "ejabberd_c2s at [::1]:5222")

    def test_a_listener_may_be_a_unix_socket(self) -> None:
        text = self.listen("module: ejabberd_c2s, port: 'unix:/run/x.sock', unix_socket: {mode: 0600}")
        (found,) = config(text).listeners
        self.assertEqual((found.port, found.path), (None, "/run/x.sock"))
        assert isinstance(found.options, C2SOptions)
        self.assertEqual(found.options.unix_socket.mode, 0o600)
        self.assertEqual(config(text).in_force()["listen[0].unix_socket"], "{mode: 0600, owner: none, group: none}")
        self.assertEqual(len(errors(text.replace("0600", "0690"))), 1)

    def test_whoever_owns_a_socket_must_exist(self) -> None:
        text = self.listen("module: ejabberd_c2s, port: 'unix:/x', unix_socket: {owner: nobody-here, group: none-here}")
        self.assertEqual(
            errors(text),
            [
                "3:66: listen[0].unix_socket.owner: this system has no user 'nobody-here'",
                "3:86: listen[0].unix_socket.group: this system has no group 'none-here'",
            ],
        )

    def test_module_and_port_are_mandatory(self) -> None:
        self.assertIn("listen[0].module: is missing", errors(self.listen("port: 1"))[0])
        self.assertIn("listen[0].port: is missing", errors(self.listen("module: ejabberd_c2s"))[0])

    def test_two_listeners_may_not_take_one_address(self) -> None:
        for one, other, clash in [
            ("0.0.0.0", "127.0.0.1", True), ("::", "127.0.0.1", True), ("::", "::1", True), ("::1", "::1", True),
            ("0.0.0.0", "::1", False), ("127.0.0.1", "127.0.0.2", False),
        ]:  # fmt: skip
            text = self.listen(*(f"module: ejabberd_c2s, port: 5222, ip: '{ip}'" for ip in (one, other)))
            self.assertEqual(bool(errors(text)), clash, (one, other))

    def test_a_listener_that_is_not_done_is_not_started(self) -> None:
        found = config(self.listen("module: ejabberd_http, port: 5280, whatever: 1"))
        self.assertEqual(found.listeners, ())
        self.assertIn("this listener is not started", found.warnings[0].why)

    def test_a_listener_can_be_added(self) -> None:
        found = load(self.listen("module: ejabberd_s2s_in, port: 5269, depth: 4"), listeners={"ejabberd_s2s_in": Depth})
        self.assertEqual(found.listeners[0].options, Depth(4))

    def test_an_unknown_listener_gets_a_hint(self) -> None:
        self.assertIn("did you mean 'ejabberd_c2s'?", errors(self.listen("module: ejabberd_cs2, port: 1"))[0])

    def test_each_kind_has_options_of_its_own(self) -> None:
        found = config(
            self.listen(
                "module: ejabberd_c2s, port: 5222",
                "module: ejabberd_s2s_in, port: 5269, shaper: none",
                "module: ejabberd_service, port: 5275, hosts: {IRC.a.test: {password: x}}, check_from: false",
            )
        )
        self.assertEqual(
            [type(listener.options) for listener in found.listeners], [C2SOptions, S2SInOptions, ServiceOptions]
        )
        self.assertEqual(found.component_domains(), {"irc.a.test"})
        self.assertNotIn("x", found.in_force()["listen[2].hosts"].split())

    def test_an_option_of_another_kind_is_told_with_a_hint(self) -> None:
        self.assertEqual(
            errors(
                self.listen(
                    "module: ejabberd_s2s_in, port: 5269, starttls: true",
                    "module: ejabberd_service, port: 5275, host: {a: b}, password: x",
                    "module: ejabberd_servic, port: 5276",
                )
            ),
            [
                "3:43: listen[0].starttls: unknown option",
                "4:44: listen[1].host: unknown option, did you mean 'hosts'?",
                "5:14: listen[2].module: unknown listener 'ejabberd_servic', did you mean 'ejabberd_service'?",
            ],
        )

    def test_a_component_needs_a_domain_and_a_password(self) -> None:
        for options, problem in [
            ("", "3:5: listen[0].hosts: is missing: name the domains"),
            (", hosts: {}", "3:51: listen[0].hosts: is missing: name the domains"),
            (", hosts: {x.test: }", "listen[0].hosts.x.test.password: is missing"),
            (", hosts: {x.test: {pasword: y}}", "pasword: unknown option, did you mean 'password'?"),
            (", hosts: {'x..test': {password: y}}", "'x..test' is not a domain"),
            (", password: ''", "listen[0].password: is empty"),
            (", hosts: {A.test: {password: y}}", "3:5: listen[0].hosts: 'a.test' is among the server's own hosts"),
        ]:
            found = errors(self.listen(f"module: ejabberd_service, port: 5275{options}"))
            self.assertEqual(len(found), 1, found)
            self.assertIn(problem, found[0])

    def test_how_a_component_is_balanced(self) -> None:
        text = "hosts: a.test\ndomain_balancing: {X.test: {type: destination, component_number: 2}}"
        found = config(text)
        self.assertEqual(
            (found.balancing("x.test").type, found.balancing("x.test").component_number), ("destination", 2)
        )
        self.assertEqual(found.balancing("y.test").type, "bare_source")
        self.assertIn("did you mean 'source'?", errors(text.replace("destination", "sorce"))[0])
        self.assertIn("must be at least 2", errors(text.replace("number: 2", "number: 1"))[0])

    def test_a_way_in_without_tls_must_be_asked_for(self) -> None:
        self.assertEqual(len(errors(self.listen("module: ejabberd_c2s, port: 1, starttls: false"))), 1)
        text = self.listen("module: ejabberd_c2s, port: 1, starttls: false, starttls_required: false")
        self.assertEqual(errors(text), [])

    def test_options_of_openssl_are_the_ones_tls_knows(self) -> None:
        self.assertEqual(set(PROTOCOL_OPTIONS), set(tls.PROTOCOL_OPTIONS))
        text = self.listen("module: ejabberd_c2s, port: 1, protocol_options: 'no_tlsv1|no_sslv3'")
        options = config(text).listeners[0].options
        assert isinstance(options, C2SOptions)
        self.assertEqual(options.protocol_options, ("no_tlsv1", "no_sslv3"))
        self.assertEqual(len(errors("hosts: a.test\nc2s_protocol_options: [no_tls]")), 1)

    def test_a_rule_that_is_not_there_is_told(self) -> None:
        self.assertEqual(
            errors(self.listen("module: ejabberd_c2s, port: 1, access: c2z")),
            ["3:45: listen[0].access: no access rule is called 'c2z', did you mean 'c2s'?"],
        )


class Own(Module):
    name = "mod_own"


class Needy(Module):
    name = "mod_own"
    requires = (MODULES["mod_roster"],)


@dataclass(frozen=True)
class Depth(Options):
    depth: int = option(1, "How deep.")


class Modules(SynchronousTestCase):
    def test_modules_are_read_with_their_own_options(self) -> None:
        found = config("hosts: a.test\nmodules: {mod_ping: {ping_interval: 2 min}, third.party: }").modules("a.test")
        self.assertEqual(list(found), ["mod_ping", "third.party"])
        self.assertEqual((found["mod_ping"].cls, found["mod_ping"].options.ping_interval), (Ping, 120.0))

    def test_an_option_of_ejabberds_module_is_a_warning(self) -> None:
        found = warnings("hosts: a.test\nmodules: {mod_ping: {timeout_action: kill, db_type: sql}}")
        self.assertEqual(
            [line.split(": ")[1] for line in found], ["modules.mod_ping.timeout_action", "modules.mod_ping.db_type"]
        )

    def test_an_unknown_option_of_a_module_is_an_error(self) -> None:
        self.assertEqual(
            errors("hosts: a.test\nmodules:\n  mod_ping:\n    ping_intervall: 3"),
            ["4:5: modules.mod_ping.ping_intervall: unknown option, did you mean 'ping_interval'?"],
        )

    def test_a_module_that_is_not_there_yet_is_a_warning(self) -> None:
        self.assertEqual(warnings("hosts: a.test\nmodules: {mod_muc: {host: x}}"),
                         ["2:11: modules.mod_muc: is not supported yet"])  # fmt: skip

    def test_an_unknown_module_is_an_error_with_a_hint(self) -> None:
        (found,) = errors("hosts: a.test\nmodules: {mod_pnig: {}}")
        self.assertTrue(found.startswith("2:11: modules.mod_pnig: unknown module; "), found)
        self.assertTrue(found.endswith(", did you mean 'mod_ping'?"), found)

    def test_a_module_in_a_wrong_place_is_told_where_it_should_be(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        text = f"hosts: a.test\nmodules_dir: {folder}\nmodules: {{mod_quite: {{}}}}"
        why = f"3:11: modules.mod_quite: unknown module; there is no mod_quite.py in {folder}"
        self.assertEqual(errors(text), [why])
        (folder / "mod_quiet.py").touch()
        self.assertEqual(errors(text), [f"{why}, did you mean 'mod_quiet'?"])

    def test_only_modules_that_are_there_are_suggested(self) -> None:
        self.assertNotIn("did you mean", errors("hosts: a.test\nmodules: {mod_muuc: {}}")[0])

    def test_a_folder_of_modules_that_was_named_must_be_there(self) -> None:
        self.assertEqual(
            warnings("hosts: a.test\nmodules_dir: /nowhere/at/all"),
            ["2:14: modules_dir: there is no folder /nowhere/at/all"],
        )
        self.assertEqual(warnings("hosts: a.test"), [])

    def test_our_own_modules_are_known_by_themselves(self) -> None:
        found = load({"hosts": ["a.test"], "modules": {"mod_roster": {}, "mod_own": {}}}, own_modules={"mod_own": Own})
        self.assertEqual([module.cls for module in found.modules("a.test").values()], [MODULES["mod_roster"], Own])
        self.assertIn("mod_ping", Config.default(Path("data")).modules("localhost"))

    def test_modules_that_lack_others_are_errors(self) -> None:
        source = "hosts: [a.test]\nmodules:\n  mod_own: {}\n"
        found = self.assertRaises(ConfigErrors, load, source, own_modules={"mod_own": Needy})
        self.assertIn("3:12: modules (a.test): mod_own requires mod_roster", str(found))

    def test_what_is_no_module_is_pointed_to_its_place(self) -> None:
        for name in ("mod_http", "mod_websocket"):
            (found,) = errors(f"hosts: a.test\nmodules: {{{name}: {{}}}}")
            self.assertIn("ejabberd_http", found)
            self.assertIn("request_handlers", found)

    def test_a_third_partys_module_that_fails_is_told(self) -> None:
        self.assertIn("cannot be loaded: ImportError", errors("hosts: a.test\nmodules: {broken.module: {}}")[0])
        self.assertIn("there is no module at", errors("hosts: a.test\nmodules: {no.such: {}}")[0])

    def test_a_third_partys_module_whose_options_fail_is_told(self) -> None:
        class Failing(Module):
            name = "mod_failing"

            @dataclass(frozen=True)
            class Options(Module.Options):
                def check(self) -> Iterable[tuple[str, str]]:
                    raise KeyError("where")

        source = "hosts: a.test\nmodules:\n  mod_failing: {}\n  mod_pnig: {}\n"
        found = self.assertRaises(ConfigErrors, load, source, own_modules={"mod_failing": Failing})
        self.assertRegex(
            str(found), r"3:3: modules.mod_failing: its options cannot be read: KeyError: 'where' \(.*:\d+\)"
        )
        self.assertIn("4:3: modules.mod_pnig: unknown module", str(found))

    def test_rules_in_options_of_modules_must_be_there(self) -> None:
        self.assertIn("no access rule", errors("hosts: a.test\nmodules: {mod_ping: {access: nobodys}}")[0])


class Hosts(SynchronousTestCase):
    def test_host_config_replaces(self) -> None:
        found = config(
            """
hosts: [a.test, b.test]
language: en
modules: {mod_ping: {}, mod_time: {}}
host_config:
  b.test:
    language: de
    modules: {mod_last: {}}
"""
        )
        self.assertEqual([found.options(host).language for host in found.hosts], ["en", "de"])
        self.assertEqual([list(found.modules(host)) for host in found.hosts], [["mod_ping", "mod_time"], ["mod_last"]])

    def test_append_host_config_adds(self) -> None:
        found = config(
            """
hosts: [a.test, b.test]
modules: {mod_ping: {}}
disable_sasl_mechanisms: plain
append_host_config:
  b.test:
    modules: {mod_last: {}}
    disable_sasl_mechanisms: [SCRAM-SHA-1]
"""
        )
        self.assertEqual(list(found.modules("b.test")), ["mod_ping", "mod_last"])
        self.assertEqual(found.options("a.test").disable_sasl_mechanisms, ("PLAIN",))
        self.assertEqual(found.options("b.test").disable_sasl_mechanisms, ("PLAIN", "SCRAM-SHA-1"))

    def test_rules_of_a_host_join_those_of_all(self) -> None:
        found = config(
            """
hosts: [a.test, b.test]
acl: {admin: {user: root@a.test}}
access_rules: {x: [{allow: admin}], y: allow}
host_config:
  b.test:
    acl: {admin: {user: boss@b.test}}
    access_rules: {y: deny}
"""
        )
        root, boss = (Who(JID(name, host)) for name, host in (("root", "a.test"), ("boss", "b.test")))
        self.assertEqual([found.access("a.test").allows("x", who) for who in (root, boss)], [True, False])
        self.assertEqual([found.access("b.test").allows("x", who) for who in (root, boss)], [True, True])
        self.assertEqual([found.access(host).allows("y", root) for host in found.hosts], [True, False])

    def test_a_host_that_is_not_ours_is_an_error(self) -> None:
        self.assertEqual(errors("hosts: a.test\nhost_config: {a.tset: {}}"),
                         ["2:15: host_config.a.tset: is not among hosts, did you mean 'a.test'?"])  # fmt: skip

    def test_what_is_for_the_server_is_refused_for_a_host(self) -> None:
        self.assertIn("is for the whole server", errors("hosts: a.test\nhost_config: {a.test: {loglevel: info}}")[0])
        self.assertIn("is for the whole server", errors("hosts: a.test\nhost_config: {a.test: {listen: []}}")[0])

    def test_an_error_keeps_its_line_through_host_config(self) -> None:
        found = errors("hosts: a.test\nhost_config:\n  a.test:\n    resource_conflict: x")
        self.assertEqual([line.split(": ")[0] for line in found], ["4:24"])

    def test_a_mistake_for_all_hosts_is_told_once(self) -> None:
        self.assertEqual(len(errors("hosts: [a.test, b.test, c.test]\nlanguage: [x, y]")), 1)

    def test_the_hosts_name_fills_in(self) -> None:
        found = config("hosts: [a.test, b.test]\nmodules: {mod_ping: {host: 'p.@HOST@'}}")
        self.assertEqual(
            [found.modules(host)["mod_ping"].options.host for host in found.hosts], ["p.a.test", "p.b.test"]
        )


class Examples(SynchronousTestCase):
    def test_ejabberds_own_example_loads_with_warnings_alone(self) -> None:
        found = load(EXAMPLE, known_modules=resolver)
        self.assertEqual([listener.port for listener in found.listeners], [5222, 5223, 5269])
        undone = {(row.section, row.name) for row in table.rows(resolver) if row.status != "done"}
        for warning in found.warnings:
            if warning.path == "certfiles":
                continue
            self.assertIn(str(EXAMPLE), str(warning))
            section, _, name = warning.path.rpartition(".")
            if warning.path.startswith("listen["):
                self.assertIn(("listen", warning.why.split()[0]), undone)
            elif section.startswith("modules."):
                self.assertIn((section.removeprefix("modules."), name), undone)
            else:
                self.assertIn((section or "top level", name), undone)
        self.assertGreater(len(found.warnings), 20)

    def test_our_own_example_loads_without_a_warning(self) -> None:
        self.assertEqual(load(OURS, known_modules=resolver).warnings, ())

    def test_our_own_example_names_every_option_that_is_done(self) -> None:
        text = OURS.read_text()
        listening = [row for module, cls in table.LISTENERS.items() for row in table.listener_rows(module, cls)]
        for row in [*table.top_rows(), *listening]:
            if row.status == "done":
                self.assertRegex(text, rf"\b{row.name}\b")

    def test_no_configuration_is_a_server_on_loopback(self) -> None:
        found = Config.default(Path("data"), known_modules=resolver)
        self.assertEqual(found.hosts, ("localhost",))
        places = [(listener.ip, listener.port, listener.options.tls) for listener in found.listeners]
        self.assertEqual(
            places,
            [("127.0.0.1", 5222, False), ("127.0.0.1", 5223, True), ("::1", 5222, False), ("::1", 5223, True)],
        )
        self.assertEqual(tuple(found.modules("localhost")), DEFAULT_MODULES)
        self.assertEqual((found.warnings, found.database()), ((), Path("data/federix.sqlite")))

    def test_a_database_in_memory_is_no_file(self) -> None:
        paths = {"kept.sqlite": "data/kept.sqlite", "/a/b.sqlite": "/a/b.sqlite", ":memory:": ":memory:"}
        for name, path in paths.items():
            found = load(f"{{hosts: [a.test], sql_database: '{name}'}}", known_modules=resolver, directory=Path("data"))
            self.assertEqual(found.database(), Path(path))

    def test_what_is_in_force_can_be_shown(self) -> None:
        found = load(OURS, known_modules=resolver).in_force()
        self.assertEqual(found["listen[1].tls"], "true")
        self.assertEqual(found["localhost: modules.mod_ping.send_pings"], "true")


NAMES = st.sampled_from(
    [
        *(
            "hosts",
            "listen",
            "modules",
            "acl",
            "access_rules",
            "host_config",
            "a.test",
            "module",
            "port",
            "ejabberd_c2s",
        ),
        *(
            "mod_ping",
            "define_macro",
            "define_keyword",
            "include_config_file",
            "X",
            "@X@",
            "loglevel",
            "certfiles",
            "<<",
        ),
        *("auth_method", "sql_type", "shaper", "append_host_config", "user", "allow", "5222", "infinity", "/nowhere"),
    ]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
LINES = st.lists(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "  ", "    ", "\t"]),
        st.sampled_from(["", "- ", "? ", "&a ", "*a", "!!x "]),
        NAMES | st.text(max_size=5),
        st.sampled_from(["", ":", ": X", ": [", ": {a: 1}", ": |", ': "\\u', ": *a"]),
    ),
    max_size=8,
).map("\n".join)


class Properties(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.dictionaries(NAMES, TREES, max_size=5))
    def test_no_mapping_raises_anything_else(self, mapping: dict[str, object]) -> None:
        try:
            load({"hosts": ["a.test"]} | mapping, known_modules=resolver)
        except ConfigErrors as found:
            self.assertTrue(found.problems)

    @settings(max_examples=150, deadline=None)
    @given(LINES | st.text(max_size=40))
    def test_no_text_raises_anything_else(self, text: str) -> None:
        for start in ("", "hosts: a.test\n"):
            try:
                config(start + text)
            except ConfigErrors as found:
                self.assertTrue(found.problems)


class WithoutIPv6(SynchronousTestCase):
    """Containers often have no IPv6 at all; who has no configuration must not need one for that."""

    def test_the_default_is_content_with_ipv4(self) -> None:
        found = Config.default(Path(self.mktemp()), ipv6=False)
        self.assertEqual(
            [(entry.ip, entry.port) for entry in found.listeners], [("127.0.0.1", 5222), ("127.0.0.1", 5223)]
        )

    def test_ipv6_is_used_where_it_can_be(self) -> None:
        class Refused(socket.socket):
            def bind(self, address: object) -> None:
                raise OSError("Cannot assign requested address")

        self.patch(starting.socket, "socket", Refused)
        found = starting.load_config(None, self.mktemp())
        self.assertEqual({entry.ip for entry in found.listeners}, {"127.0.0.1"})
