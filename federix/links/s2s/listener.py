"""A port for servers: what all of its links share."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.listener_options import S2SInOptions
from ..listener import StreamListener


@dataclass(slots=True)
class S2SListener(StreamListener[S2SInOptions]):
    """One listening port for servers."""
