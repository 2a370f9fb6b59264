"""XEP-0202: Entity Time -- tell what time it is here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..api import IQ, Element, Module, Xep, delay, iq_get, ns


class Time(Module):
    """Tells the server's time, and how far its clock on the wall is from UTC."""

    name = "mod_time"
    implements = (Xep(202, "2.0"),)

    @iq_get(ns.TIME, "time", on=("host",))
    def answer(self, _: IQ) -> Element:
        """§2: <tzo/> and <utc/> are both REQUIRED."""
        # Whole seconds: not every client can read their fractions.
        seconds = int(self.host.now())
        offset = datetime.fromtimestamp(seconds, UTC).astimezone().utcoffset() or timedelta()
        return Element(
            "time",
            ns.TIME,
            Element("tzo", ns.TIME, text=time_zone(offset)),
            # "The format MUST conform to the dateTime profile … and MUST be expressed in UTC."
            Element("utc", ns.TIME, text=delay.stamp(seconds)),
        )


def time_zone(offset: timedelta) -> str:
    """*offset* from UTC as a Time Zone Definition (XEP-0082 §2.1): ``+hh:mm`` or ``-hh:mm``, to the minute."""
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
