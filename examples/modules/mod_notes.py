"""Notes: short texts under names, which a user finds again on every device; the operator may count them."""

from dataclasses import dataclass
from functools import partial

from federix.api import (
    IQ,
    JID,
    TEXT,
    CommandError,
    Condition,
    Element,
    InvalidJID,
    Module,
    StanzaError,
    Table,
    TooManyWait,
    Turns,
    command,
    iq_get,
    iq_set,
    option,
)

NOTES = "urn:example:notes"


class Notes(Module):
    name = "mod_notes"

    @dataclass(frozen=True)
    class Options(Module.Options):
        most: int = option(100, "How many notes an account may have.", minimum=1)
        max_size: int = option(4096, "How long one note may be.", unit="bytes", minimum=1)

    options: Options
    kept = Table("notes", TEXT)

    async def on_start(self) -> None:
        # Two devices may write at once: the notes of an account are counted and changed by one of them at a time.
        self.turns = Turns(self.scope, most=8)

    @iq_get(NOTES, "notes", on=("account",))
    async def read(self, iq: IQ) -> Element:
        notes = await self.kept.all(owner_of(iq))
        return Element("notes", NOTES, *(note(name, text) for name, text in notes.items()))

    @iq_set(NOTES, "note", on=("account",))
    async def write(self, iq: IQ) -> None:
        owner = owner_of(iq)
        assert iq.payload is not None  # a request has one
        name, text = iq.payload.get("name"), iq.payload.text
        if not name or len(name) > 100:
            raise StanzaError(Condition.BAD_REQUEST, "a note needs a name of up to 100 characters")
        if len(text.encode()) > self.options.max_size:
            raise StanzaError(Condition.NOT_ACCEPTABLE, f"more than {self.options.max_size} bytes")
        try:
            await self.turns.take(owner, partial(self.keep, owner, name, text))
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "one after the other") from None

    async def keep(self, owner: str, name: str, text: str) -> None:
        if not text:
            await self.kept.remove(owner, name)
        elif await self.kept.get(owner, name) is None and await self.kept.count(owner) >= self.options.most:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, f"more than {self.options.most} notes")
        else:
            await self.kept.put(owner, name, text)

    @command()
    async def count_notes(self, user: str, host: str) -> int:
        """How many notes an account has."""
        try:
            account = JID.build(user, host)
        except InvalidJID as error:
            raise CommandError(f"{user}@{host} is no address: {error}") from None
        return await self.kept.count(str(account))


def note(name: str, text: str) -> Element:
    return Element("note", NOTES, text=text, attrs={"name": name})


def owner_of(iq: IQ) -> str:
    """The account whose notes are asked for; only the account itself may."""
    if iq.to is None or iq.sender is None or iq.sender.bare != iq.to.bare:
        # What an account that does not exist is answered with: nobody is to learn which do (RFC 6120 §13.11).
        raise StanzaError(Condition.SERVICE_UNAVAILABLE)
    return str(iq.to.bare)
