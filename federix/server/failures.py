"""Why a server does not start, or does not take a new configuration, in words for its operator."""

from __future__ import annotations

import traceback
from typing import Final

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from ..core.loader import ModuleError
from ..core.options import ConfigErrors
from ..storage.storage import StoreError
from .directory import DirectoryError

log = Logger()

#: Errors whose text is written for the operator.
_PLAIN: Final = (DirectoryError, ModuleError, StoreError, CannotListenError)


class NotStarted(SystemExit, Exception):
    """The server did not start; the process ends with exit code 1.

    Both at once on purpose: `twistd` tells the terminal of an `Exception` when it runs in the background, and cleans up
    after it; Python ends a program by `SystemExit` without a traceback.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = 1


# The background process has room for 100 bytes with the name of the class in front.
NotStarted.__module__ = "federix"


def explained(error: BaseException) -> list[str]:
    """What went wrong, one line a problem. What is nobody's mistake but a program's comes with the place of it."""
    if isinstance(error, ConfigErrors):
        return [str(problem) for problem in error.problems]
    notes = getattr(error, "__notes__", ())
    before = "".join(f"{note}: " for note in notes)
    if isinstance(error, _PLAIN) and not notes:
        # What Python writes of an error of the system has a number in it, and the name again.
        cause = error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) else None
        return (str(error).replace(str(cause), reason) if reason else str(error)).split("\n")
    if isinstance(error, OSError) and error.strerror and not notes:
        return [f"{error.filename}: {error.strerror}" if error.filename else error.strerror]
    # A bug, in a module perhaps: whoever looks for it finds all of it in the log.
    log.debug("{traceback}", traceback="".join(traceback.format_exception(error)))
    said = str(error).partition("\n")[0]
    return [f"{before}{type(error).__name__}{': ' if said else ''}{said}{_place(error)}"]


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
