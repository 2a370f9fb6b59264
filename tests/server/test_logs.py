"""The log: one line an event, readable or JSON, and nothing that looks like a line of ours."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from federix.server.config import Config
from federix.server.logs import HIDDEN, Levels, ProcessLog, Writer


class Lines(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = io.StringIO()
        self.publisher = LogPublisher()
        self.levels = Levels()

    def log(self, form: Any = "text", *, hide: bool = False, namespace: str = "federix.links.c2s") -> Logger:
        self.publisher.addObserver(self.levels.observe(Writer(self.out, form, hide=hide)))
        return Logger(namespace, observer=self.publisher)

    def test_a_sentence_is_followed_by_its_fields(self) -> None:
        self.log().info("client session opened", session="romeo@example.org/orchard", peer="192.0.2.1")
        line = self.out.getvalue()
        self.assertRegex(
            line,
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[info\] client session opened "
            r"\(session: romeo@example.org/orchard, peer: 192\.0\.2\.1\)\n$",
        )

    def test_a_field_named_in_the_sentence_is_not_told_twice(self) -> None:
        self.log().info("certificate: {problem}", problem="expired")
        self.assertTrue(self.out.getvalue().endswith("[info] certificate: expired\n"))

    def test_the_reason_is_told(self) -> None:
        self.log().info("client session closed", session="a@b/c", why="conflict")
        self.assertIn("(session: a@b/c, why: conflict)", self.out.getvalue())

    def test_a_line_break_in_a_field_does_not_begin_a_line(self) -> None:
        self.log().info("peer refused", domain="a\n2026-01-01T00:00:00Z [info] forged")
        self.assertEqual(self.out.getvalue().count("\n"), 1)

    def test_a_value_does_not_pose_as_another_field(self) -> None:
        self.log().info(
            "client session opened", session="romeo@a/x), peer: 6.6.6.6) [info] login failed (peer: 6.6.6.6"
        )
        line = self.out.getvalue()
        self.assertIn('(session: "romeo@a/x), peer: 6.6.6.6) [info] login failed (peer: 6.6.6.6")', line)

    def test_json_has_the_fields_under_their_names(self) -> None:
        self.log("json").warn("login failed", host="example.org", count=3)
        entry = json.loads(self.out.getvalue())
        self.assertEqual(
            (entry["level"], entry["event"], entry["host"], entry["count"], entry["from"]),
            ("warning", "login failed", "example.org", 3, "federix.links.c2s"),
        )
        datetime.fromisoformat(entry["time"]).astimezone(UTC)

    def test_a_failure_brings_its_traceback(self) -> None:
        log = self.log()
        try:
            raise KeyError("lost")
        except KeyError:
            log.failure("handler failed", hook="user_send_packet")
        self.assertIn("handler failed (hook: user_send_packet)", self.out.getvalue())
        self.assertIn("KeyError: 'lost'", self.out.getvalue())

    def test_addresses_stay_out_where_they_shall(self) -> None:
        self.log(hide=True).info("login failed", peer="192.0.2.1")
        self.assertNotIn("192.0.2.1", self.out.getvalue())
        self.assertIn(HIDDEN, self.out.getvalue())

    def test_a_peer_of_ipv4_is_told_by_its_ipv4_address(self) -> None:
        self.log().info("login failed", peer="::ffff:192.0.2.1")
        self.assertIn("(peer: 192.0.2.1)", self.out.getvalue())

    def test_what_is_below_the_level_is_not_written(self) -> None:
        log = self.log()
        self.levels.set("warning")
        log.info("client session opened")
        log.warn("certificate expires soon")
        self.assertEqual(self.out.getvalue().count("\n"), 1)
        self.levels.set("debug")
        log.debug("now in detail")
        self.assertIn("now in detail", self.out.getvalue())
        self.levels.set("none")
        log.critical("unheard")
        self.assertNotIn("unheard", self.out.getvalue())

    def test_the_ports_that_twisted_opens_are_not_told(self) -> None:
        log = self.log(namespace="twisted.internet.tcp")
        log.info("Factory starting on 5222")
        self.assertEqual(self.out.getvalue(), "")
        log.error("that is serious")
        self.assertIn("that is serious", self.out.getvalue())

    def test_every_level_of_ejabberd_has_its_own_here(self) -> None:
        for name in ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "none"):
            self.levels.set(name)
        self.assertRaises(KeyError, self.levels.set, "loud")


class Files(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.file = self.folder / "logs" / "federix.log"
        self.file.parent.mkdir()
        options = Config.load({"hosts": ["example.org"]}, directory=self.folder).server
        self.log = ProcessLog({"logfile": str(self.file)}, "text", options)
        observer = self.log.observer()
        assert observer is not None
        self.addCleanup(lambda: self.log._stream.close())
        self.logger = Logger("federix", observer=LogPublisher(observer))

    def test_a_file_grows_until_the_system_moves_it(self) -> None:
        for _ in range(30):
            self.logger.info("long: {text}", text="x" * 50_000)
        self.assertEqual(os.listdir(self.file.parent), [self.file.name])
        self.log.rotate()
        self.assertEqual(sorted(os.listdir(self.file.parent)), [self.file.name, f"{self.file.name}.1"])

    def test_what_is_logged_after_a_move_is_in_a_file_of_the_old_name(self) -> None:
        self.logger.info("before")
        moved = self.file.rename(self.folder / "moved.log")
        self.log.reopen()
        self.logger.info("after")
        self.assertIn("before", moved.read_text())
        self.assertNotIn("after", moved.read_text())
        self.assertIn("after", self.file.read_text())

    def test_one_that_cannot_be_opened_again_is_written_to_still(self) -> None:
        moved = self.file.parent.rename(self.folder / "moved")
        with capturedLogs() as events:
            self.log.reopen()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error])
        self.logger.info("after")
        self.assertIn("after", (moved / self.file.name).read_text())
