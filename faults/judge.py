"""The verdict on a run: what was acknowledged and is not there, what is there twice, what is in another order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .ledger import Ledger, Received, Sent

#: Of each kind of finding so many are told in full.
MOST_TOLD: Final = 20
#: Seconds around an acknowledgement in which things that happened are told, and at most how many of them, the latest.
AROUND: Final = 3.0
MOST_EVENTS: Final = 16
#: How many messages before and behind one that was overtaken are told of.
NEIGHBOURS: Final = 40


#: How often each account's archive has each id.
Archived: TypeAlias = Mapping[str, Mapping[str, int]]


@dataclass(slots=True)
class Finding:
    """Something that is wrong: how often, and the first cases in words."""

    count: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(text)


@dataclass(slots=True)
class Verdict:
    """What became of all messages of a run."""

    sent: int = 0
    acknowledged: int = 0
    resent: int = 0
    """Messages that were sent more than once. The next three and `unaccounted` tell what became of each."""
    resent_archived: int = 0
    """Those of them that are in their recipient's archive once, and not twice in their sender's."""
    resent_refused: int = 0
    """Those that came back as errors: their sender knows."""
    resent_on_device: int = 0
    """Those that are not in their recipient's archive, but came to its device."""
    refused: int = 0
    """Messages that came back as errors: their sender knows, so they are not lost."""
    received: int = 0
    """Messages that came to their recipient's device."""
    unaccounted: Finding = field(default_factory=Finding)
    """Sent more than once, and none of those three: twice in an archive, or nowhere and nobody knows."""
    lost: Finding = field(default_factory=Finding)
    """Acknowledged, and neither on the recipient's device nor in its archive."""
    doubled: Finding = field(default_factory=Finding)
    """More than once in the archive of the recipient or of the sender."""
    reordered: Finding = field(default_factory=Finding)
    """Behind a later one of the same sender in the archive of the recipient or of the sender.

    What came back as an error, and was sent again or kept all the same, has no place in the order.
    """
    overtaken: Finding = field(default_factory=Finding)
    """The first time on the device, behind a later one of the same sender on the same connection."""
    unsettled: Finding = field(default_factory=Finding)
    """Never acknowledged, though their sender came back and sent them again."""
    invented: Finding = field(default_factory=Finding)
    """In an archive or on a device where nobody sent them."""
    unarchived: Finding = field(default_factory=Finding)
    """Acknowledged, and missing in the archive of the recipient or of the sender. Contains the lost ones."""
    repeated: Finding = field(default_factory=Finding)
    """More than once on a device. A client knows them by their ids."""

    @property
    def faultless(self) -> bool:
        others = (self.lost, self.doubled, self.reordered, self.overtaken, self.unsettled, self.invented)
        return not any(finding.count for finding in (self.unaccounted, *others))


def judge(ledger: Ledger) -> Verdict:
    """Look at everything."""
    messages = ledger.messages.values()
    verdict = Verdict(
        sent=len(messages),
        acknowledged=sum(message.acknowledged is not None for message in messages),
        resent=sum(len(message.at) > 1 for message in messages),
        refused=sum(message.refused is not None for message in messages),
    )
    on_devices = {received.identifier for received in ledger.received}
    verdict.received = len(on_devices)
    archived = {name: Counter(identifiers) for name, identifiers in ledger.archives.items()}
    for message in messages:
        _settled(ledger, message, on_devices, archived, verdict)
        if len(message.at) > 1:
            _resent(ledger, message, on_devices, archived, verdict)
    for owner, identifiers in ledger.archives.items():
        _archive(ledger, owner, identifiers, verdict)
    _devices(ledger, verdict)
    return verdict


def _settled(ledger: Ledger, message: Sent, on_devices: set[str], archived: Archived, verdict: Verdict) -> None:
    if message.acknowledged is None:
        if message.at:
            verdict.unsettled.add(history(ledger, message))
        return
    if not message.accepted:
        return
    owners = (message.to, message.sender)
    missing = [owner for owner in owners if message.identifier not in archived.get(owner, ())]
    if message.to in missing and message.identifier not in on_devices:
        verdict.lost.add(history(ledger, message))
    if missing:
        verdict.unarchived.add(f"not with {' nor with '.join(missing)}: {history(ledger, message)}")


def _resent(ledger: Ledger, message: Sent, on_devices: set[str], archived: Archived, verdict: Verdict) -> None:
    """Account for a message that was sent more than once: in one way, whatever else it is found guilty of."""
    with_recipient, with_sender = (
        archived.get(owner, {}).get(message.identifier, 0) for owner in (message.to, message.sender)
    )
    if with_recipient > 1 or with_sender > 1:
        verdict.unaccounted.add(f"archived {with_recipient} and {with_sender} times: {history(ledger, message)}")
    elif message.refused is not None:
        verdict.resent_refused += 1
    elif with_recipient:
        verdict.resent_archived += 1
    elif message.identifier in on_devices:
        verdict.resent_on_device += 1
    else:
        verdict.unaccounted.add(f"nowhere: {history(ledger, message)}")


def _archive(ledger: Ledger, owner: str, identifiers: Sequence[str], verdict: Verdict) -> None:
    seen: set[str] = set()
    latest: dict[tuple[str, str], int] = {}
    for identifier in identifiers:
        message = ledger.messages.get(identifier)
        if message is None or owner not in (message.sender, message.to):
            verdict.invented.add(f"{identifier} in the archive of {owner}")
            continue
        if identifier in seen:
            verdict.doubled.add(f"in the archive of {owner}: {history(ledger, message)}")
            continue
        seen.add(identifier)
        if message.refused is not None:
            continue
        way = (message.sender, message.to)
        if message.number < latest.get(way, 0):
            verdict.reordered.add(f"after {latest[way]} in the archive of {owner}: {history(ledger, message)}")
        latest[way] = max(message.number, latest.get(way, 0))


def _devices(ledger: Ledger, verdict: Verdict) -> None:
    seen: set[tuple[str, str]] = set()
    latest: dict[tuple[str, int, str], int] = {}
    for received in ledger.received:
        message = ledger.messages.get(received.identifier)
        if message is None or message.to != received.device:
            verdict.invented.add(f"{received.identifier} on the device of {received.device}")
            continue
        on = (received.device, received.connection, message.sender)
        key = (received.device, received.identifier)
        if key in seen:
            verdict.repeated.add(f"again {_told(received)}: {history(ledger, message)}")
        elif message.refused is None and message.number < latest.get(on, 0):
            course = _course(ledger, message)
            verdict.overtaken.add(f"after {latest[on]} {_told(received)}: {history(ledger, message)}; {course}")
        seen.add(key)
        latest[on] = max(message.number, latest.get(on, 0))


def _course(ledger: Ledger, message: Sent) -> str:
    """In which order the device got what its sender wrote about then, by connection."""
    near = range(message.number - NEIGHBOURS, message.number + NEIGHBOURS + 1)
    told: list[str] = []
    connection, first, last = 0, 0, 0
    for received in ledger.received:
        other = ledger.messages.get(received.identifier)
        if other is None or (other.sender, other.to) != (message.sender, message.to) or other.number not in near:
            continue
        if received.connection == connection and other.number == last + 1:
            last += 1
            told[-1] = f"{first}-{last}"
            continue
        if received.connection != connection:
            connection = received.connection
            told.append(f"on connection {connection} at {received.at:.3f} s:")
        first = last = other.number
        told.append(str(first))
    return f"the device got {' '.join(told)}"


def _told(received: Received) -> str:
    return f"at {received.at:.3f} s on connection {received.connection} of {received.device}"


def history(ledger: Ledger, message: Sent) -> str:
    """All that is known of one message, for whoever looks for the cause."""
    sent = ", ".join(f"{at:.3f}" for at in message.at)
    text = f"{message.identifier} sent at {sent} s"
    if message.acknowledged is not None:
        text += f", acknowledged by <{message.way}/> at {message.acknowledged:.3f} s"
    if message.refused is not None:
        text += f", refused: {message.refused}"
    if not message.at:
        return text
    begin, end = message.at[0] - AROUND, (message.acknowledged or message.at[-1]) + AROUND
    around = _of(message, (event for event in ledger.events if begin <= event[0] <= end))
    return f"{text}; around it: {'; '.join(around) or 'nothing'}"


def _of(message: Sent, events: Iterable[tuple[float, str]]) -> list[str]:
    """Those of *events* that concern its two devices, or all."""
    names = (message.sender, message.to)
    return [f"{at:.3f} {what}" for at, what in events if what.split()[0] in (*names, "server")][-MOST_EVENTS:]
