"""What accounts take along when they move to another server (XEP-0227), each kind of it declared by its module."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ..storage.storage import StoreError
from ..xmpp.element import Element
from ..xmpp.errors import StanzaError
from ..xmpp.jid import JID


class Arrived(enum.Enum):
    """What has become of something that was brought."""

    ADDED = "added"
    #: There was one already; it is as it was.
    THERE = "there already"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Something that was brought is not kept, or not all of it; *why* is for the operator."""

    why: str

    @classmethod
    def because(cls, error: StanzaError) -> NotTaken:
        """What was refused as a client's wish would be. A failure of the storage is raised: it is another's fault."""
        if isinstance(error, StoreError):
            raise error
        return cls(error.text or error.condition.tag.replace("-", " "))


Arrival: TypeAlias = Arrived | NotTaken

Take: TypeAlias = Callable[[Sequence[Element]], Awaitable[Sequence[Arrival]]]
"""Takes things that are brought for one account, a few at a time; says what became of each, in their order."""


class Portable(ABC):
    """One kind of thing that moves with an account, as children of XEP-0227's ``<user/>``.

    *what* names the things for the operator, in the plural. *tag* is the namespace and the name of their element. Where
    that is *around* them, they are its children, read and written one by one, so there may be as many as there are;
    else each is one such element.
    """

    what: ClassVar[str]
    tag: ClassVar[tuple[str, str]]
    around: ClassVar[bool] = True

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        """All that *account* has, in order: elements, or bytes of elements that declare their namespaces.

        It reads a page at a time; what changes meanwhile may be there or not. Without it, things only arrive.
        """
        nothing: tuple[Element, ...] = ()
        for thing in nothing:
            yield thing

    @abstractmethod
    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        """What takes the things brought for *account*, which exists. They are within no limits yet.

        What is there already is not added twice, however often it is brought; where it differs it stays, unless it is
        to *overwrite*.
        """
