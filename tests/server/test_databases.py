"""Servers whose things are kept in a database server: what is read of the configuration, and whole processes."""

from __future__ import annotations

import signal
import socket
import ssl
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.databases.mariadb import MariaDb
from bench.databases.postgres import Postgres
from bench.databases.server import PASSWORD, USER, DatabaseServer
from federix.core.options import ConfigErrors
from federix.life.executor import InlineExecutor
from federix.server.config import Config, load, sql_options
from federix.server.databases import _server, storage_for
from federix.storage.sql.server import SqlTls
from tests.peers.authority import Issuer
from tests.peers.databases import required
from tests.peers.requirements import requires_python_package
from tests.server.processes import PATIENCE, ProcessCase

_OPEN = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.test' version='1.0'>"
)


class OptionsTest(SynchronousTestCase):
    def config(self, text: str) -> Config:
        return load(f"hosts: [a.test]\n{text}", directory=Path("data"))

    def authorities(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Issuer(Path(folder.name)).certificate

    def test_what_is_not_said_is_as_usual(self) -> None:
        requires_python_package("txpostgres")
        server = _server(self.config("sql_type: pgsql"))
        self.assertEqual((server.host, server.port, server.database, server.username), ("localhost", 5432, USER, USER))
        self.assertEqual((server.pool_size, server.keepalive_interval, server.tls), (10, None, None))
        self.assertEqual((server.connect_timeout, server.query_timeout, server.start_interval), (5.0, 60.0, 30.0))
        self.assertIs(server.update_schema, True)

    def test_what_is_said_holds(self) -> None:
        requires_python_package("txpostgres")
        file = self.authorities()
        server = _server(
            self.config(
                "sql_type: pgsql\nsql_server: db.test\nsql_port: 5433\nsql_database: xmpp\nsql_username: montague\n"
                "sql_password: secret\nsql_pool_size: 4\nsql_keepalive_interval: 1 min\nsql_ssl: true\n"
                f"sql_ssl_verify: true\nsql_ssl_cafile: {file}\nsql_ssl_certfile: /own.pem\nupdate_sql_schema: false"
            )
        )
        self.assertEqual(server.name, "xmpp at db.test:5433")
        self.assertEqual((server.username, server.password, server.pool_size), ("montague", "secret", 4))
        self.assertEqual((server.keepalive_interval, server.update_schema), (60.0, False))
        self.assertEqual(server.tls, SqlTls(True, str(file), "/own.pem"))
        self.assertNotIn("secret", repr(server))

    def test_the_authorities_are_those_of_the_whole_server_unless_said_otherwise(self) -> None:
        requires_python_package("txpostgres")
        file = self.authorities()
        server = _server(self.config(f"sql_type: pgsql\nsql_ssl: true\nca_file: {file}"))
        self.assertEqual(server.tls, SqlTls(False, str(file), None))

    def test_a_driver_that_is_missing_is_told_with_what_to_do(self) -> None:
        self.patch(sql_options.DatabaseServer, "missing", lambda _: ("psycopg2", "txpostgres"))
        errors = self.assertRaises(ConfigErrors, self.config, "sql_type: pgsql")
        (problem,) = errors.problems
        self.assertIn("pip install 'federix[postgres]'", str(problem))
        self.config("sql_type: pgsql\ndefault_db: memory")

    def test_mariadb_has_a_port_and_a_driver_of_its_own(self) -> None:
        requires_python_package("pymysql")
        self.assertEqual(_server(self.config("sql_type: mysql")).port, 3306)
        self.patch(sql_options.DatabaseServer, "missing", lambda server: server.packages)
        errors = self.assertRaises(ConfigErrors, self.config, "sql_type: mysql")
        self.assertIn("mysql needs pymysql, not installed: pip install 'federix[mysql]'", str(errors.problems[0]))

    def test_to_verify_without_tls_or_without_authorities_is_wrong(self) -> None:
        for text in ("sql_ssl_verify: true", "sql_ssl_verify: true\nsql_ssl: true"):
            errors = self.assertRaises(ConfigErrors, self.config, text)
            self.assertIn("sql_ssl_verify", str(errors.problems[0]))

    def test_each_kind_has_its_back_end(self) -> None:
        requires_python_package("txpostgres")
        any_clock: Any = Clock()  # type: ignore[no-untyped-call]
        kinds = {"default_db: memory": "MemoryStorage", "sql_type: sqlite": "SqliteStorage"}
        requires_python_package("pymysql")
        servers = {"sql_type: pgsql": "PostgresStorage", "sql_type: mysql": "MysqlStorage"}
        for text, kind in {**kinds, **servers}.items():
            storage = storage_for(self.config(text), InlineExecutor(), any_clock)
            self.assertEqual(type(storage).__name__, kind)


class DatabaseProcess(ProcessCase):
    """`twistd federix` whose database is a server that comes and goes."""

    sql_type: str
    kind: type[DatabaseServer]

    def setUp(self) -> None:
        super().setUp()
        self.database = required(self.kind)
        self.addCleanup(self.database.remove)
        self.configuration = (
            f"sql_type: {self.sql_type}\nsql_server: 127.0.0.1\nsql_port: {self.database.port}\n"
            f"sql_username: {USER}\nsql_password: {PASSWORD}\nsql_database: {self.database.database()}\n"
            "sql_start_interval: 1\nmodules: {mod_ping: {}, mod_roster: {}, mod_private: {}}\n"
        )
        self.write(self.configuration)

    def test_it_waits_for_its_database_and_outlives_its_restart(self) -> None:
        self.database.stop()
        with self.twistd("-c", "federix.yml", "-d", "data") as process:
            told = self.until("cannot be used, trying again", process)
            self.assertIn("starting", self.ctl("status").stdout)
            time.sleep(1.0)
            self.database.start()
            told += self.until("server started", process)
            self.assertEqual(self.ctl("register", "romeo", "a.test", "secret").returncode, 0)
            with self.logged_in() as romeo:
                # The first time it was read when he came.
                romeo.sendall(b"<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>")
                self.assertIn(b"type='result'", self.said(romeo, b"</iq>"))
                self.database.stop()
                told += self.until("cannot be used, trying again", process)
                # What a login asks waits, and is refused in the end, for now only.
                self.assertIn(b"<temporary-auth-failure", self.login()[1])
                self.ping(romeo)
                for asked in ("jabber:iq:roster", "jabber:iq:private"):
                    inner = b"<x xmlns='x:y'/>" if asked.endswith("private") else b""
                    romeo.sendall(b"<iq type='get' id='q'><query xmlns='%b'>%b</query></iq>" % (asked.encode(), inner))
                    refused = self.said(romeo, b"</iq>")
                    self.assertIn(b"<error type='wait'><internal-server-error", refused)
                self.database.start()
                told += self.until("is back", process)
                self.ping(romeo)
                with self.logged_in() as again:
                    self.ping(again)
            stats = self.ctl("stats").stdout
            self.assertRegex(stats, r"database_connections\W+\d+")
            self.assertRegex(stats, r"database_jobs_waiting\W+0\b")
            self.assertIn("up to date", self.ctl("update_sql_schema").stdout)
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            told += process.stdout.read().decode()
            self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)
        self.assertEqual((told.count("cannot be used"), told.count("is back")), (2, 2), told)
        self.assertNotIn("Traceback", told)
        self.assertNotIn(PASSWORD, told)

    def test_a_start_that_waits_for_its_database_can_be_stopped(self) -> None:
        self.database.stop()
        with self.twistd("-c", "federix.yml", "-d", "data") as process:
            told = self.until("cannot be used, trying again", process)
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            told += process.stdout.read().decode()
            self.assertEqual(process.wait(PATIENCE), 1)
        self.assertIn("stopped by SIGTERM before it had started", told)
        self.assertNotIn("Traceback", told)

    def test_the_tables_wait_for_the_operator_where_that_is_wanted(self) -> None:
        self.write(f"{self.configuration}update_sql_schema: false\n")
        with self.twistd("-c", "federix.yml", "-d", "data") as process:
            told = self.until("run 'federixctl update_sql_schema'", process)
            self.assertIn("starting", self.ctl("status").stdout)
            updated = self.ctl("update_sql_schema")
            self.assertEqual(updated.returncode, 0, updated.stderr)
            told += self.until("server started", process)
            self.assertEqual(self.ctl("register", "romeo", "a.test", "secret").returncode, 0)
            self.assertIn("up to date", self.ctl("update_sql_schema").stdout)
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            told += process.stdout.read().decode()
        self.assertNotIn("Traceback", told)

    def logged_in(self) -> ssl.SSLSocket:
        stream, answer = self.login()
        self.assertIn(b"<success", answer)
        stream.sendall(_OPEN)
        self.said(stream, b"</stream:features>")
        stream.sendall(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        self.said(stream, b"</iq>")
        return stream

    def login(self) -> tuple[ssl.SSLSocket, bytes]:
        """A stream, and the answer to romeo's password."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        stream = context.wrap_socket(plain, server_hostname="a.test")
        self.addCleanup(stream.close)
        stream.sendall(_OPEN)
        self.said(stream, b"</stream:features>")
        secret = b64encode(b"\0romeo\0secret")
        stream.sendall(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + secret + b"</auth>")
        return stream, self.said(stream, b">")

    def ping(self, stream: ssl.SSLSocket) -> None:
        stream.sendall(b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.assertIn(b"type='result'", self.said(stream, b">"))

    def said(self, stream: ssl.SSLSocket, until: bytes) -> bytes:
        got = b""
        while until not in got:
            piece = stream.recv(4096)
            if not piece:
                break
            got += piece
        return got


class PostgresProcessTest(DatabaseProcess):
    sql_type = "pgsql"
    kind = Postgres


class MariaDbProcessTest(DatabaseProcess):
    sql_type = "mysql"
    kind = MariaDb


# It has no database itself, so it is no test.
del DatabaseProcess
