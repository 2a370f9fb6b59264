"""When a stanza was really sent (XEP-0203), and dates as XMPP writes them (XEP-0082).

Times are seconds since 1970 in UTC, as `float`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from . import ns
from .element import Element
from .errors import Condition, StanzaError
from .jid import JID, InvalidJID, parse

#: A longer text is no date; the fraction of a second "MAY contain any number of digits" (XEP-0082 §2.1).
MAX_STAMP = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_MAX_OFFSET_MINUTES = 14 * 60  # XML Schema Part 2 §3.3.7


@dataclass(frozen=True, slots=True)
class Delay:
    """A ``<delay/>``: when a stanza was sent (*seconds*), who held it back (*from_*), and why (*reason*)."""

    seconds: float
    from_: JID | None = None
    reason: str = ""

    @classmethod
    def parse(cls, element: Element) -> Delay:
        """The delay that *element* tells of; raises `StanzaError` (bad-request).

        Anybody can write one (§5): it is as good as the entity that is known to have added it.
        """
        if element.name != "delay" or element.ns != ns.DELAY:
            raise StanzaError(Condition.BAD_REQUEST, "not a delay")
        from_ = element.get("from")
        try:
            address = None if from_ is None else JID.parse(from_)
        except InvalidJID as error:
            raise StanzaError(Condition.BAD_REQUEST, "a delay from no address") from error
        return cls(parse_stamp(element.get("stamp") or ""), address, element.text.strip())

    def to_element(self) -> Element:
        """As ``<delay/>``."""
        return delay(self.from_, self.seconds, self.reason)


def delay(from_: JID | None, seconds: float, reason: str = "") -> Element:
    """A ``<delay/>``: the stanza was sent at *seconds* and held back by *from_*."""
    attrs = {"from": None if from_ is None else str(from_), "stamp": stamp(seconds)}
    return Element("delay", ns.DELAY, text=reason, attrs=attrs)


def is_delay_by(element: Element, entity: JID) -> bool:
    """Whether *element* is a ``<delay/>`` that claims to be by *entity*, in whatever way that is spelt."""
    if element.ns != ns.DELAY or element.name != "delay":
        return False
    from_ = element.get("from") or ""
    try:
        return from_ == entity.text or parse(from_) == entity
    except InvalidJID:
        return False


def is_delayed_by(stanza: Element, entity: JID) -> bool:
    """Whether *stanza* itself, not something in it, says that *entity* held it back."""
    return any(is_delay_by(child, entity) for child in stanza.elements())


def stamp(seconds: float) -> str:
    """*seconds* as a DateTime in UTC, to the microsecond; raises `ValueError` outside the years 1 to 9999."""
    try:
        # Not fromtimestamp(): it takes no times before 1970 on some systems.
        moment = _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
    except OverflowError as error:
        raise ValueError("a time that cannot be written") from error
    return moment.replace(tzinfo=None).isoformat() + "Z"


def parse_stamp(text: str) -> float:
    """The time a DateTime stands for (XEP-0082 §3.2), to the microsecond; raises `StanzaError` (bad-request)."""
    match = _DATE_TIME.fullmatch(text.strip()) if len(text) <= MAX_STAMP else None
    if match is None:
        raise _not_a_date()
    *date, fraction, sign, hours, minutes = match.groups()
    try:
        year, month, day, hour, minute, second = map(int, date)
        microsecond = int((fraction or "")[:6].ljust(6, "0"))
        elapsed = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC) - _EPOCH
    except ValueError:
        raise _not_a_date() from None
    if sign:
        offset = int(hours) * 60 + int(minutes)
        if offset > _MAX_OFFSET_MINUTES or int(minutes) > 59:
            raise _not_a_date()
        # "+07:00" means that the local time is ahead of UTC.
        elapsed -= timedelta(minutes=offset if sign == "+" else -offset)
    return elapsed.total_seconds()


def _not_a_date() -> StanzaError:
    return StanzaError(Condition.BAD_REQUEST, "not a date and time as XEP-0082 has them")
