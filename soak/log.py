"""The server's log, read as it grows: whatever is above `info`, or is no line of the log at all, is a finding."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(\w+)\] ")
_HARMLESS: Final = frozenset(("info", "debug"))
#: Lines behind a bad one that are taken to belong to it: a traceback.
_MOST_LINES: Final = 40


class LogReader:
    """Reads a log and the files it was rotated into; those that are read to their end and gone from use are removed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offsets: dict[int, int] = {}
        self._rests: dict[int, bytes] = {}
        self._old: set[int] = set()
        self.lines = 0

    def news(self) -> list[str]:
        """What has been written that should not have been, since the last call."""
        bad: list[str] = []
        current = self._file.stat().st_ino if self._file.exists() else None
        for file in sorted(self._file.parent.glob(f"{self._file.name}*")):
            inode = file.stat().st_ino
            with file.open("rb") as stream:
                stream.seek(self._offsets.get(inode, 0))
                data = stream.read()
            self._offsets[inode] = self._offsets.get(inode, 0) + len(data)
            *lines, rest = (self._rests.get(inode, b"") + data).split(b"\n")
            self._rests[inode] = rest
            self.lines += len(lines)
            bad.extend(suspicious([line.decode(errors="replace") for line in lines]))
            if inode == current:
                continue
            if inode in self._old and not data:
                # Nobody has written to it for a whole round.
                file.unlink()
                for known in (self._offsets, self._rests):
                    known.pop(inode, None)
                self._old.discard(inode)
            else:
                self._old.add(inode)
        return bad


def suspicious(lines: list[str]) -> list[str]:
    """Lines of *lines* that are no harmless events; a traceback goes with the line above it."""
    found: list[list[str]] = []
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            if not found or len(found[-1]) > _MOST_LINES:
                found.append([])
            found[-1].append(line)
        elif match[1] not in _HARMLESS:
            found.append([line])
        elif found and found[-1]:
            found.append([])
    return ["\n".join(part) for part in found if part]
