"""Servers that federate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from bench.certificate import Authority
from bench.federated import Couple, Network, couple, single
from bench.load import Specification
from bench.place import Peers, Place
from bench.process import ServerFailed
from bench.zone import Zone


class NameServer:
    address = "127.78.9.53"
    subnet = "127.78.9"

    def __init__(self) -> None:
        self.zone = Zone({})


class Server:
    name = "federix"
    mechanism = "PLAIN"

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.places = [Place(5222, domain=f"s{pid}.test")]
        self.running = False

    def start(self) -> None:
        if self.pid < 0:
            raise ServerFailed("it will not start")
        self.running = True

    def stop(self) -> None:
        self.running = False

    def said(self) -> str:
        return f"I am {self.pid}"


class CoupleTests(SynchronousTestCase):
    def test_it_is_both(self) -> None:
        one, other = Server(1), Server(2)
        both = Couple(one, other)  # type: ignore[arg-type]
        both.start()
        self.assertTrue(one.running and other.running)
        self.assertEqual(both.pids, [1, 2])
        self.assertEqual([place.domain for place in both.places], ["s1.test", "s2.test"])
        self.assertEqual(both.said(), "I am 1\nI am 2")
        both.stop()
        self.assertFalse(one.running or other.running)

    def test_where_one_does_not_start_none_is_left(self) -> None:
        one = Server(1)
        both = Couple(one, Server(-1))  # type: ignore[arg-type]
        self.assertRaises(ServerFailed, both.start)
        self.assertFalse(one.running)


class NetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        name_server: Any = NameServer()
        self.network = Network(self.folder, name_server)
        self.zone: Zone = name_server.zone

    def test_everybody_has_an_address_and_a_certificate(self) -> None:
        home = self.network.home("one")
        peers = self.network.peers("make")
        self.assertEqual(self.zone.names, {"one.servers.test": "127.78.9.1", "*.make.peers.test": "127.78.9.2"})
        self.assertEqual((home.address, peers.address), ("127.78.9.1", "127.78.9.2"))
        self.assertEqual(peers.name(7), "p7.make.peers.test")
        self.assertEqual(Path(peers.authority), home.authority)

    def test_two_of_a_kind_are_apart(self) -> None:
        made: list[Any] = []

        def kind(folder: Path, users: int, home: object) -> Any:
            made.append((folder.name, home))
            return Server(len(made))

        named: Any = kind
        named.name = "federix"
        couple(named, self.folder, 3, self.network)
        self.assertEqual([name for name, _ in made], ["federix-one", "federix-other"])
        self.assertEqual(len({home.address for _, home in made}), 2)
        alone: Any = single(named, self.folder, 3, self.network)
        self.assertEqual(alone.peers.domain, "federix.peers.test")


class CertificateTests(SynchronousTestCase):
    def test_an_authority_vouches_for_what_it_gives_out(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        authority = Authority(folder)
        given = x509.load_pem_x509_certificate(authority.issue("*.peers.test").read_bytes())
        given.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.file.read_bytes()))
        names = given.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["*.peers.test"])


class SpecificationTests(SynchronousTestCase):
    def test_it_comes_back_from_json(self) -> None:
        for peers in (None, Peers("127.78.1.2", "peers.test", "certificate.pem", "authority.pem")):
            one = Specification([Place(1), Place(2, "127.78.1.1", "a.test")], "PLAIN", "pairs", True, 2, 1, 1, 1.0)
            given = Specification(**{**vars(one), "peers": peers})
            self.assertEqual(Specification.read(json.dumps(asdict(given))), given)
