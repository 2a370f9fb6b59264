"""Other servers in the configuration: for all hosts, for one, what is wrong, and where it stands."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from federix.modules import MODULES
from federix.server.config import DEFAULT_MODULES, Config, ConfigErrors, load, option_table, safer_defaults
from federix.server.config.table import top_rows
from federix.testing import World
from federix.testing.authority import make_authority

PER_HOST = (
    *("s2s_access", "s2s_use_starttls", "s2s_cafile", "s2s_timeout", "s2s_max_queue", "s2s_max_queue_size"),
    *("s2s_queue_timeout", "outgoing_s2s_families", "outgoing_s2s_port", "outgoing_s2s_timeout"),
    *("outgoing_s2s_ipv4_address", "outgoing_s2s_ipv6_address"),
)
FOR_ALL = (
    *("ca_file", "s2s_max_retry_delay", "dns_servers", "s2s_dns_timeout", "s2s_dns_retries"),
    *("s2s_ciphers", "s2s_protocol_options", "s2s_dhfile"),
)
HOSTS = "hosts: [a.test, b.test]\n"


class Servers(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def load(self, text: str) -> Config:
        (self.folder / "federix.yml").write_text(HOSTS + text)
        return load(self.folder / "federix.yml")

    def errors(self, text: str) -> list[str]:
        errors = self.assertRaises(ConfigErrors, self.load, text)
        return [str(problem).removeprefix(f"{self.folder}/federix.yml:") for problem in errors.problems]

    def warnings(self, text: str) -> list[str]:
        return [str(problem).removeprefix(f"{self.folder}/federix.yml:") for problem in self.load(text).warnings]

    def test_every_option_is_done(self) -> None:
        done = {row.name for row in top_rows() if row.status == "done"}
        self.assertLessEqual({*PER_HOST, *FOR_ALL}, done)

    def test_a_host_may_differ(self) -> None:
        found = self.load(
            "s2s_use_starttls: optional\ns2s_timeout: 5 min\n"
            "host_config: {b.test: {s2s_use_starttls: required, outgoing_s2s_families: ipv4}}"
        )
        one, two = found.options("a.test"), found.options("b.test")
        self.assertEqual((one.s2s_use_starttls, two.s2s_use_starttls), ("optional", "required"))
        self.assertEqual((one.outgoing_s2s_families, two.outgoing_s2s_families), (("ipv6", "ipv4"), ("ipv4",)))
        self.assertEqual((one.s2s_timeout, two.s2s_timeout), (300, 300))

    def test_some_are_for_the_whole_server(self) -> None:
        self.assertEqual(
            self.errors("host_config: {a.test: {s2s_max_retry_delay: 5 min}}"),
            [
                "2:24: host_config.a.test.s2s_max_retry_delay: is for the whole server, not for one host",
            ],
        )

    def test_a_misspelt_one_is_an_error_with_its_place(self) -> None:
        self.assertEqual(
            self.errors("s2s_acces: all\noutgoing_s2s_prot: 5269"),
            [
                "2:1: s2s_acces: unknown option, did you mean 's2s_access'?",
                "3:1: outgoing_s2s_prot: unknown option, did you mean 'outgoing_s2s_port'?",
            ],
        )

    def test_a_wrong_value_is_an_error_with_its_place(self) -> None:
        self.assertEqual(
            self.errors("dns_servers:\n  - 127.0.0.1\n  - dns.test\noutgoing_s2s_families: [ipv4, ipv4]"),
            [
                "4:5: dns_servers: must be the IP address of a name server, as 192.0.2.53, 192.0.2.53:5353 or"
                " [2001:db8::53]:5353, not 'dns.test'",
                "5:24: outgoing_s2s_families: names one twice",
            ],
        )

    def test_a_rule_that_is_not_there_is_an_error(self) -> None:
        (error,) = self.errors("s2s_access: s2ss")
        self.assertTrue(error.startswith("2:13: s2s_access: no access rule is called 's2ss', did you mean"), error)

    def test_the_old_word_for_certificates_alone_is_understood_and_told(self) -> None:
        found = self.load("s2s_use_starttls: required_trusted\nmodules: {mod_s2s_dialback: {}}")
        self.assertTrue(found.options("a.test").certificates_only)
        (warning,) = found.warnings
        self.assertEqual((warning.path, warning.place.line), ("s2s_use_starttls", 2))
        self.assertIn("leave out mod_s2s_dialback", warning.why)

    def test_what_is_not_wanted_is_a_warning_with_what_to_do(self) -> None:
        self.assertEqual(
            self.warnings("s2s_queue_type: file\ns2s_zlib: true\ns2s_tls_compression: true"),
            [
                "2:1: s2s_queue_type: is not supported: queues are bounded and in memory: set s2s_max_queue and"
                " s2s_max_queue_size",
                "3:1: s2s_zlib: is not supported: compression of streams gives secrets away by their length",
                "4:1: s2s_tls_compression: is not supported: compression inside TLS gives secrets away (RFC 9325 §3.3)",
            ],
        )

    def test_authorities_must_be_certificates(self) -> None:
        (self.folder / "none.pem").write_text("nonsense")
        self.assertEqual(
            self.errors("ca_file: none.pem\ns2s_cafile: gone.pem"),
            [
                f"2:10: ca_file: {self.folder}/none.pem does not begin with a certificate in PEM form",
                f"3:13: s2s_cafile: {self.folder}/gone.pem cannot be read: No such file or directory",
            ],
        )
        (error,) = self.errors("host_config: {b.test: {s2s_cafile: none.pem}}")
        self.assertTrue(error.startswith("2:36: s2s_cafile: "), error)

    def test_the_authorities_of_a_host_are_its_own_or_those_of_all(self) -> None:
        for name in ("all", "own"):
            (self.folder / name).mkdir()
            make_authority(self.folder / name, ["x.test"])
        found = self.load(
            "ca_file: all/authority.pem\nhost_config: {b.test: {s2s_cafile: own/authority.pem}}",
        )
        self.assertEqual(found.authorities("a.test"), self.folder / "all" / "authority.pem")
        self.assertEqual(found.authorities("b.test"), self.folder / "own" / "authority.pem")
        self.assertIsNone(self.load("").authorities("a.test"))

    def test_ciphers_and_parameters_are_tried_on_openssl(self) -> None:
        (self.folder / "dh.pem").write_text("nonsense")
        found = self.errors("s2s_ciphers: NONE-SUCH\ns2s_dhfile: dh.pem")
        self.assertEqual([error.split(": ")[:2] for error in found], [["2:14", "s2s_ciphers"], ["3:13", "s2s_dhfile"]])

    def test_what_is_in_force_can_be_shown(self) -> None:
        found = self.load("dns_servers: '::1'\ns2s_access: s2s").in_force()
        self.assertEqual(found["dns_servers"], "[[::1]:53]")
        self.assertEqual(found["a.test: s2s_access"], "s2s")
        self.assertEqual(found["b.test: s2s_use_starttls"], "required")

    def test_that_tls_is_required_is_told_as_safer(self) -> None:
        found = {name: (theirs, ours) for _section, name, theirs, ours, _why in safer_defaults()}
        self.assertEqual(found["s2s_use_starttls"], ("false", "required"))
        self.assertIn("| top level | `s2s_use_starttls` | false | required |", option_table())

    def test_who_has_no_configuration_has_both_modules(self) -> None:
        self.assertLessEqual({"mod_s2s_bidi", "mod_s2s_dialback"}, set(DEFAULT_MODULES))
        found = Config.default(self.folder, known_modules=MODULES.get)
        self.assertLessEqual({"mod_s2s_bidi", "mod_s2s_dialback"}, set(found.modules("localhost")))


class Reloading(SynchronousTestCase):
    def test_a_reload_is_seen_at_once(self) -> None:
        world = World(hosts=("a.test", "b.test"))
        self.addCleanup(world.stop)
        self.assertEqual(world.server.host_options("a.test").s2s_timeout, 3600)
        self.assertEqual(world.server.config.server.s2s_max_retry_delay, 300)
        changed = {"s2s_timeout": 60, "s2s_max_retry_delay": 10, "dns_servers": ["127.0.0.1:5353"]}
        remarks = world.run(world.server.reload(world.configure({**world.settings, **changed})))
        self.assertEqual(remarks, [])
        self.assertEqual(world.server.host_options("a.test").s2s_timeout, 60)
        self.assertEqual(world.server.config.server.s2s_max_retry_delay, 10)
        self.assertEqual(world.server.config.server.dns_addresses, (("127.0.0.1", 5353),))
