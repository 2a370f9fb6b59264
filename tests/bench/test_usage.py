"""What a process tree uses, from the text of /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.usage import Stat, cpu_seconds, exact_cpu_seconds, parse_busy, parse_pss, parse_stat, pss_bytes, tree

STAT = "{pid} ({command}) S {parent} 1 1 0 -1 4194560 100 200 0 0 {utime} {stime} {cutime} {cstime} 20 0 1 0 5 6 7"
ROLLUP = """\
00400000-7ffe00000000 ---p 00000000 00:00 0                              [rollup]
Rss:               12345 kB
Pss:                4321 kB
Pss_Dirty:          1111 kB
Shared_Clean:          0 kB
"""


class StatTests(SynchronousTestCase):
    def test_time_is_user_and_system_also_of_children_that_ended(self) -> None:
        line = STAT.format(pid=7, command="beam.smp", parent=3, utime=1000, stime=200, cutime=30, cstime=4)
        self.assertEqual(parse_stat(line), Stat(7, 3, 1234))

    @given(st.text(alphabet="ab ()1", max_size=15))
    def test_a_command_may_hold_blanks_and_brackets(self, command: str) -> None:
        line = STAT.format(pid=7, command=command, parent=3, utime=1, stime=2, cutime=0, cstime=0)
        self.assertEqual(parse_stat(line), Stat(7, 3, 3))


class TreeTests(SynchronousTestCase):
    def test_descendants_count_and_strangers_do_not(self) -> None:
        stats = [Stat(5, 4, 8), Stat(1, 0, 1), Stat(2, 1, 2), Stat(4, 2, 4), Stat(3, 1, 16)]
        self.assertEqual({stat.pid for stat in tree(2, stats)}, {2, 4, 5})

    def test_a_process_that_is_gone_has_no_tree(self) -> None:
        self.assertEqual(tree(9, [Stat(2, 1, 2), Stat(4, 2, 4)]), [])


class MemoryTests(SynchronousTestCase):
    def test_pss_is_in_bytes(self) -> None:
        self.assertEqual(parse_pss(ROLLUP), 4321 * 1024)

    def test_a_file_without_pss_is_an_error(self) -> None:
        self.assertRaises(ValueError, parse_pss, "Rss: 1 kB\nPss_Dirty: 2 kB\n")


class MachineTests(SynchronousTestCase):
    def test_idling_and_waiting_are_not_work(self) -> None:
        text = "cpu  1 20 300 9999 8888 4000 50000 600000 0 0\ncpu0 7 7 7 7 7 7 7 7 7 7\n"
        self.assertEqual(parse_busy(text), 654321)


class OwnProcessTests(SynchronousTestCase):
    def test_work_costs_time(self) -> None:
        before = cpu_seconds(os.getpid())
        while os.times().user + os.times().system < before + 0.05:
            sum(range(10_000))
        self.assertGreater(cpu_seconds(os.getpid()), before)

    def test_time_is_told_exactly_too(self) -> None:
        before, own = exact_cpu_seconds(os.getpid()), time.process_time()
        while time.process_time() < own + 0.003:  # less than a tick
            sum(range(1000))
        used, own = exact_cpu_seconds(os.getpid()) - before, time.process_time() - own
        self.assertGreater(used, 0.0025)
        self.assertLess(used, own + 0.02)

    def test_the_time_of_children_counts_while_they_live(self) -> None:
        command = [sys.executable, "-c", "print(flush=True); input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            of_child, own = exact_cpu_seconds(child.pid), time.process_time()
            self.assertGreaterEqual(exact_cpu_seconds(os.getpid()), own + of_child)
            child.communicate(b"\n")
        self.assertGreater(of_child, 0.0)
        self.assertEqual(exact_cpu_seconds(child.pid), 0.0)

    def test_memory_is_seen(self) -> None:
        before = pss_bytes(os.getpid())
        # Much, since of what is shared with others the part that counts goes down as they come.
        kept = bytearray(64 * 1024 * 1024)
        kept[::4096] = b"x" * (len(kept) // 4096)
        self.assertGreater(pss_bytes(os.getpid()), before + len(kept) // 2)
