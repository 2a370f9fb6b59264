"""Reading an archive from its beginning to its end (XEP-0313)."""

from __future__ import annotations

import asyncio
from typing import Final

from federix.xmpp import ns
from federix.xmpp.element import Element
from soak.client import PATIENCE, Wrong

from .connection import authenticated

MAM: Final = "urn:xmpp:mam:2"
RSM: Final = "http://jabber.org/protocol/rsm"
#: Messages asked for at a time.
PAGE: Final = 100


async def read(port: int, account: str, at_most: int) -> list[str]:
    """The ids of all messages in *account*'s archive, in its order; more than *at_most* pages are `Wrong`."""
    connection = await authenticated(port, account)
    found: list[str] = []

    def heard(element: Element) -> None:
        result = element.child(MAM, "result")
        forwarded = result.child(ns.FORWARD, "forwarded") if result is not None else None
        message = forwarded.child(ns.CLIENT, "message") if forwarded is not None else None
        if message is not None and message.get("type") != "error":
            found.append(message.get("id") or "?")

    try:
        await connection.result("set", f"<bind xmlns='{ns.BIND}'><resource>archive</resource></bind>")
        connection.heard = heard
        after = ""
        for _ in range(at_most):
            async with asyncio.timeout(PATIENCE):
                answer = await connection.result(
                    "set", f"<query xmlns='{MAM}'><set xmlns='{RSM}'><max>{PAGE}</max>{after}</set></query>"
                )
            fin = answer.child(MAM, "fin")
            page = fin.child(RSM, "set") if fin is not None else None
            last = page.text_of(RSM, "last") if page is not None else None
            if fin is None or fin.get("complete") in ("true", "1") or not last:
                await connection.leave()
                return found
            after = f"<after>{last}</after>"
        raise Wrong(f"the archive of {account} has no end after {at_most} pages")
    finally:
        connection.cut()
