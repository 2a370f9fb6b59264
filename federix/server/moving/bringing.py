"""XEP-0227: what was found in files is given to the accounts it belongs to, which are made where they are not there.

Accounts are taken in groups, and those of a group at the same time, so that what is written for them is written
together. An account with more than fits into a group is taken in pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...core.accounts import Newcomer
from ...core.commands import CommandError
from ...core.host import Host
from ...core.portable import Arrival, Arrived, NotTaken, Portable, Take
from ...life.together import together
from ...xmpp import ns
from ...xmpp.jid import JID, InvalidJID, prepare_domain, prepare_local
from ...xmpp.sasl import ScramKeys
from .keys import keys_in_password, read_keys
from .reading import Broken, Found, HostFound, Odd, Place, Tag, Thing, UserFound
from .writing import portables_of

#: Accounts, things and characters of one group. While it is worked on, nobody else is served for some milliseconds.
MOST_USERS: Final = 50
MOST_THINGS: Final = 250
MOST_CHARACTERS: Final = 2 * 1024 * 1024
#: So many reasons are told for what was not taken, each with the first place and how often; of the rest, how many there
#: are of each kind.
MOST_TOLD: Final = 100

SCRAM: Final[Tag] = (ns.PIE_SCRAM, "scram-credentials")


class Report:
    """What became of all that was found."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Arrived]] = {}
        #: Why something was not taken; where that was first, and how often.
        self._not_taken: dict[str, tuple[Place, int]] = {}
        self._more: Counter[str] = Counter()

    def note(self, what: str, arrival: Arrival, place: Place, name: str = "") -> None:
        if isinstance(arrival, NotTaken):
            self.odd(f"{name + ': ' if name else ''}{what}: {arrival.why}", place, what)
        else:
            self._counts.setdefault(what, Counter())[arrival] += 1

    def replaced_later(self, what: str) -> None:
        """One that was told to be as it was is not any more."""
        self._counts[what].subtract([Arrived.THERE])
        self._counts[what][Arrived.REPLACED] += 1

    def odd(self, why: str, place: Place, what: str = "others") -> None:
        """Something was not taken; *what* it belongs to, in the plural."""
        if why in self._not_taken:
            first, count = self._not_taken[why]
            self._not_taken[why] = (first, count + 1)
        elif len(self._not_taken) < MOST_TOLD:
            self._not_taken[why] = (place, 1)
        else:
            self._more[what] += 1

    @property
    def accounts(self) -> int:
        return self._counts.get(ACCOUNTS, Counter()).total()

    def lines(self) -> list[str]:
        """For the operator."""
        told = [
            f"{what}: " + ", ".join(f"{counts[arrived]} {arrived.value}" for arrived in Arrived if counts[arrived])
            for what, counts in sorted(self._counts.items(), key=lambda count: (count[0] != ACCOUNTS, count[0]))
        ]
        not_taken = [
            f"not taken: {place}: {why}{f' (the first of {count})' if count > 1 else ''}"
            for why, (place, count) in self._not_taken.items()
        ]
        return [
            *told,
            *not_taken,
            *(f"not taken: {count} more of {what}" for what, count in sorted(self._more.items())),
        ]


ACCOUNTS: Final = "accounts"
_KEYS: Final = "passwords and keys"


@dataclass(slots=True)
class _User:
    """Somebody of whom there is something in the present group."""

    host: Host
    found: UserFound
    local: str
    password: str | None = field(repr=False)
    keys: dict[str, ScramKeys] = field(default_factory=dict)
    things: list[Thing] = field(default_factory=list)
    #: What takes his things, by their tag; made with the first, and kept while there are more.
    takes: dict[Tag, Take] = field(default_factory=dict)
    #: Whether the account is there: it was made, or it had been there.
    exists: bool = False
    #: Whether it was made by us, or is as it was; what is known of its password may follow behind much else.
    made: bool = False
    untouched: bool = False
    late: bool = False

    def newcomer(self) -> Newcomer:
        return Newcomer(self.local, self.password, tuple(self.keys.values()))


class Bringer:
    """Takes what a reader finds, and gives it to the running hosts by their names."""

    def __init__(self, hosts: Callable[[str], Host | None], *, overwrite: bool) -> None:
        self._hosts = hosts
        self._overwrite = overwrite
        self.report = Report()
        self._host: Host | None = None
        self._portables: dict[Host, Mapping[Tag, Portable]] = {}
        self._group: list[_User] = []
        self._user: _User | None = None
        self._things = 0
        self._characters = 0

    async def bring(self, found: Iterable[Found]) -> None:
        """Take the next things. Raises `CommandError` where there is no going on."""
        for each in found:
            match each:
                case HostFound():
                    self._enter_host(each)
                case UserFound():
                    self._enter_user(each)
                    if len(self._group) > MOST_USERS:
                        await self._take_group(but_last=True)
                case Thing():
                    self._keep(each)
                    if self._things >= MOST_THINGS or self._characters >= MOST_CHARACTERS:
                        await self._take_group()
                case Odd():
                    self.report.odd(each.why, each.place)
                case Broken():
                    await self.finish()
                    raise CommandError("\n".join([*self.report.lines(), f"{each.why}; nothing behind it was read"]))

    async def finish(self) -> None:
        """There is nothing more."""
        self._user = None
        await self._take_group()

    def _enter_host(self, found: HostFound) -> None:
        self._user = None
        try:
            self._host = self._hosts(prepare_domain(found.jid))
        except InvalidJID:
            self._host = None
        if self._host is None:
            # §4.1: "it SHOULD notify the operator about any mismatch".
            self.report.odd(f"the host {found.jid} is not served here; none of its users is taken", found.place)

    def _enter_user(self, found: UserFound) -> None:
        self._user = None
        if self._host is None:
            return
        try:
            local = prepare_local(found.name)
        except InvalidJID as error:
            self.report.odd(f"the user {found.name}: {error}", found.place)
            return
        self._user = _User(self._host, found, local, found.password)
        keys = None if found.password is None else keys_in_password(found.password)
        if keys is not None:
            self._user.password = None
            self._take_keys(self._user, keys, found.place)
        self._group.append(self._user)

    def _keep(self, thing: Thing) -> None:
        user = self._user
        if user is None:
            return
        if thing.tag == SCRAM:
            self._take_keys(user, read_keys(thing.element), thing.place)
            return
        user.things.append(thing)
        self._things += 1
        self._characters += thing.size

    def _take_keys(self, user: _User, keys: ScramKeys | NotTaken, place: Place) -> None:
        if isinstance(keys, NotTaken):
            self.report.odd(f"{user.local}: {keys.why}", place, _KEYS)
        elif user.keys.setdefault(keys.hash_name, keys) is not keys:
            # §4.3: "they MUST all have a unique 'mechanism' attribute".
            self.report.odd(f"{user.local}: a second set of keys for SCRAM-{keys.hash_name}", place, _KEYS)
        else:
            user.late = user.made or (user.exists and self._overwrite)

    # -- groups -------------------------------------------------------------------------------------------------------

    async def _take_group(self, *, but_last: bool = False) -> None:
        group, self._group = self._group, []
        if but_last or (self._user is not None and group and group[-1] is self._user):
            # More may follow of the last one.
            self._group = group[-1:]
        if but_last:
            group = group[:-1]
        for host in dict.fromkeys(user.host for user in group):
            await self._make_accounts(host, [user for user in group if user.host is host and not user.exists])
        for user in group:
            if user.late:
                user.late = False
                await user.host.accounts.bring([user.newcomer()], overwrite=True)
                if user.untouched:
                    user.untouched = False
                    self.report.replaced_later(ACCOUNTS)
        # Who stands there twice is one: what was brought first is there when the rest is looked at.
        accounts: dict[tuple[Host, str], list[_User]] = {}
        for user in group:
            if user.exists:
                accounts.setdefault((user.host, user.local), []).append(user)
        await together(self._take_all_things(users) for users in accounts.values())
        for user in group:
            if user.made and user is not self._user and not user.newcomer().has_secrets:
                self.report.odd(f"{user.local}: no password; nobody logs in until one is set", user.found.place, _KEYS)
        self._things = sum(len(user.things) for user in self._group)
        self._characters = sum(thing.size for user in self._group for thing in user.things)

    async def _make_accounts(self, host: Host, users: Sequence[_User]) -> None:
        # Who stands there twice is one.
        newcomers = {user.local: (user.newcomer(), user) for user in reversed(users)}
        if not newcomers:
            return
        arrivals = await host.accounts.bring([each for each, _ in newcomers.values()], overwrite=self._overwrite)
        for (_, user), arrival in zip(newcomers.values(), arrivals, strict=True):
            self.report.note(ACCOUNTS, arrival, user.found.place, user.local)
            user.made = arrival is Arrived.ADDED
            user.untouched = arrival is Arrived.THERE
        there = {local for local, arrival in zip(newcomers, arrivals, strict=True) if isinstance(arrival, Arrived)}
        for user in users:
            user.exists = user.local in there

    async def _take_all_things(self, users: Sequence[_User]) -> None:
        for user in users:
            await self._take_things(user)

    async def _take_things(self, user: _User) -> None:
        """His things, those of one kind together, in their order."""
        by_tag: dict[Tag, list[Thing]] = {}
        things, user.things = user.things, []
        for thing in things:
            by_tag.setdefault(thing.tag, []).append(thing)
        for tag, same in by_tag.items():
            portable = self._portables_of(user.host).get(tag)
            if portable is None:
                self.report.odd(f"no module of {user.host.name} takes <{tag[1]}>", same[0].place)
                continue
            if tag not in user.takes:
                account = JID(user.local, user.host.name)
                user.takes[tag] = portable.arriving(account, overwrite=self._overwrite)
            arrivals = await user.takes[tag]([thing.element for thing in same])
            for thing, arrival in zip(same, arrivals, strict=True):
                self.report.note(portable.what, arrival, thing.place, user.local)

    def _portables_of(self, host: Host) -> Mapping[Tag, Portable]:
        if host not in self._portables:
            self._portables[host] = {portable.tag: portable for portable in portables_of(host)}
        return self._portables[host]
