"""XEP-0441: what an account wants to have in its archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ...api import JID, JSON, Codec, Condition, Element, InvalidJID, Json, StanzaError, ns

#: What is kept of those whom no list names.
Default = Literal["always", "never", "roster"]
DEFAULTS: Final[tuple[Default, ...]] = get_args(Default)

#: How many addresses both lists have together.
MOST_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class Preferences:
    """*default* is ``None`` where the account has said nothing, and what the server prefers counts."""

    default: Default | None = None
    always: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, element: Element, *, must_say: bool = True) -> Preferences:
        """Those that ``<prefs/>`` sets; raises `StanzaError` (bad-request, jid-malformed, not-acceptable).

        Unless it *must_say* so, the default may be left to the server.
        """
        wanted = element.get("default")
        # §2.1.1: it "MUST be one of the following values".
        default = next((known for known in DEFAULTS if known == wanted), None)
        if default is None and (must_say or wanted is not None):
            raise StanzaError(Condition.BAD_REQUEST, f"the default must be one of: {', '.join(DEFAULTS)}")
        # §2.1.2: "If missing from the preferences, <always/> SHOULD be assumed by the server to be an empty list."
        always, never = _jids(element, "always"), _jids(element, "never")
        if len(always) + len(never) > MOST_LISTED:
            raise StanzaError(Condition.NOT_ACCEPTABLE, f"more than {MOST_LISTED} addresses")
        return cls(default, always, never)

    def to_element(self, default: Default | None) -> Element:
        """As ``<prefs/>``; *default* is what the server prefers, ``None`` where that is not to be told.

        §2.1: "The <prefs> element MUST be present and contain the current default archiving policy. The <always> and
        <never> MUST also be present (even if empty)".
        """
        lists = (
            Element("always", ns.MAM, *_elements(self.always)),
            Element("never", ns.MAM, *_elements(self.never)),
        )
        return Element("prefs", ns.MAM, *lists, attrs={"default": self.default or default})

    def listed(self, target: JID) -> bool | None:
        """What the lists say of messages with *target*; ``None`` where it is in neither.

        §2.3.1: "If the listed JID contains a resource, compare against the target JID as-is. If the listed JID has no
        resource … then first strip any resource from the target JID". Who names a resource means it; and who is on
        both lists is not archived.
        """
        for text in (target.text, target.bare.text) if target.resource else (target.text,):
            if text in self.never:
                return False
            if text in self.always:
                return True
        return None


#: Those of an account that has said nothing.
UNSAID: Final = Preferences()


def _jids(element: Element, name: str) -> frozenset[str]:
    child = element.child(ns.MAM, name)
    if child is None:
        return frozenset()
    try:
        return frozenset(JID.parse(listed.text.strip()).text for listed in child.children_of(ns.MAM, "jid"))
    except InvalidJID as error:
        raise StanzaError(Condition.JID_MALFORMED, str(error)) from None


def _elements(listed: frozenset[str]) -> list[Element]:
    return [Element("jid", ns.MAM, text=jid) for jid in sorted(listed)]


def _write(preferences: Preferences) -> Json:
    return {
        "default": preferences.default,
        "always": sorted(preferences.always),
        "never": sorted(preferences.never),
    }


def _read(stored: Json) -> Preferences:
    assert isinstance(stored, dict)
    default = next((known for known in DEFAULTS if known == stored["default"]), None)
    return Preferences(default, frozenset(stored["always"]), frozenset(stored["never"]))


#: How they are written down.
PREFERENCES: Final[Codec[Preferences]] = JSON.through(_write, _read)
