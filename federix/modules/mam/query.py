"""What a client asks of an archive: the form, the page, and how it wants that (XEP-0313 §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...api import JID, ArchiveIds, Condition, Element, Span, StanzaError, UnknownArchiveId, delay, forms, ns, rsm

#: Microseconds in a second: what storage knows a message by counts these since 1970.
MICROSECONDS: Final = 1_000_000
#: How many messages a client may ask for by their ids.
MOST_IDS: Final = 50

_SINGLE: Final = forms.FieldType.TEXT_SINGLE
#: §4.1.5: "all the form fields it supports in queries".
FIELDS: Final = (
    forms.Field("with", forms.FieldType.JID_SINGLE, "Messages with this address"),
    forms.Field("start", _SINGLE, "Messages from this time on"),
    forms.Field("end", _SINGLE, "Messages up to this time"),
    forms.Field("before-id", _SINGLE, "Messages before this one"),
    forms.Field("after-id", _SINGLE, "Messages after this one"),
    # "the server MUST include a Data Forms Validation (XEP-0122) <validate/> element that signals the list is open".
    forms.Field(
        "ids",
        forms.FieldType.LIST_MULTI,
        "These messages",
        extensions=(Element("validate", ns.VALIDATE, Element("open", ns.VALIDATE), attrs={"datatype": "xs:string"}),),
    ),
    forms.Field("include-groupchat", forms.FieldType.BOOLEAN, "Messages of rooms, too"),
)
_KNOWN: Final = frozenset((forms.FORM_TYPE, *(field.var for field in FIELDS)))


@dataclass(frozen=True, slots=True)
class Query:
    """One query of an archive.

    *span* is what its form selects, *ids* the messages it names (``None`` for all), *named* all ids in it that must
    be there. *after* and *before* are the ids that the page stands next to, *max* is its size, where the client says
    so. *backwards*: the page is the end of what is selected; *flipped*: it is sent the newest first.
    """

    span: Span = Span()
    ids: tuple[int, ...] | None = None
    named: frozenset[int] = frozenset()
    after: int | None = None
    before: int | None = None
    max: int | None = None
    backwards: bool = False
    flipped: bool = False
    queryid: str | None = None

    @property
    def paged(self) -> Span:
        """The part of what is selected that the page is cut from."""
        return self.span.within(after=self.after, before=self.before)

    @classmethod
    def parse(cls, element: Element, archive_ids: ArchiveIds) -> Query:
        """The query that *element* is, in which messages are named by *archive_ids*; raises `StanzaError`."""
        if element.get("node") is not None:
            # §6.1.3: "the 'node' attribute … for use with pubsub archives".
            raise StanzaError(Condition.FEATURE_NOT_IMPLEMENTED, "there is no archive of a node")
        form = forms.Form.find(element)
        named: set[int] = set()
        span, ids = (Span(), None) if form is None else _selected(form, archive_ids, named)
        page = rsm.Request.find(element) or rsm.Request()
        if page.index is not None:
            # XEP-0059 §2.6: a server need not know which place a message has.
            raise StanzaError(Condition.FEATURE_NOT_IMPLEMENTED, "pages begin at messages, not at numbers")
        after = _named(page.after, archive_ids, named) if page.after else None
        before = _named(page.before, archive_ids, named) if page.before else None
        return cls(
            span,
            ids,
            frozenset(named),
            after,
            before,
            page.max,
            page.is_backwards,
            element.child(ns.MAM, "flip-page") is not None,
            element.get("queryid"),
        )


def form() -> Element:
    """The form that clients may fill in."""
    return forms.Form.of(forms.FormType.FORM, ns.MAM, FIELDS).to_element()


def _selected(form: forms.Form, ids: ArchiveIds, named: set[int]) -> tuple[Span, tuple[int, ...] | None]:
    # §4.1: "The hidden FORM_TYPE field MUST be set to this protocol's namespace".
    if form.type is not forms.FormType.SUBMIT or form.form_type != ns.MAM:
        raise StanzaError(Condition.BAD_REQUEST, "not a form for archives")
    for given in form.fields:
        # §4.1.5: "a form field that the server does not recognise, the server MUST respond with a
        # 'feature-not-implemented' error".
        if given.var not in _KNOWN:
            raise StanzaError(Condition.FEATURE_NOT_IMPLEMENTED, f"there is no field {given.var}")
    # There are no messages of rooms in an account's archive: with them or without them is the same.
    form.boolean("include-groupchat")
    peer = form.jid("with")
    span = _with(peer)
    if (start := _moment(form, "start")) is not None:
        # §4.1.2: "equal to or later than the given timestamp".
        span = span.within(after=start - 1)
    if (end := _moment(form, "end")) is not None:
        # "equal to or earlier than the timestamp".
        span = span.within(before=end + 1)
    if after := form.value("after-id"):
        span = span.within(after=_named(after, ids, named))
    if before := form.value("before-id"):
        span = span.within(before=_named(before, ids, named))
    wanted = tuple(value for value in form.values("ids") if value)
    if len(wanted) > MOST_IDS:
        raise StanzaError(Condition.NOT_ACCEPTABLE, f"more than {MOST_IDS} ids")
    if not wanted:
        return span, None
    return span, tuple(sorted({_named(value, ids, named) for value in wanted}))


def _with(peer: JID | None) -> Span:
    """§4.1.1: "If (and only if) the supplied JID is a bare JID" messages with all its resources match."""
    if peer is None:
        return Span()
    return Span(peer=peer.bare.text, resource=peer.resource or None)


def _moment(form: forms.Form, var: str) -> int | None:
    """The time in a field, in microseconds since 1970."""
    text = form.value(var)
    return round(delay.parse_stamp(text) * MICROSECONDS) if text else None


def _named(text: str, ids: ArchiveIds, named: set[int]) -> int:
    """The id that *text* is, which joins those that must be there."""
    try:
        id = ids.decode(text)
    except UnknownArchiveId:
        raise StanzaError(Condition.ITEM_NOT_FOUND, "there is no message of that id") from None
    named.add(id)
    return id
