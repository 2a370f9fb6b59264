"""Entity capabilities (XEP-0115): one short string that stands for everything an entity can do.

The string is a hash of the entity's identities, features and forms. It saves asking the same question of everybody who
runs the same software; it is no proof of anything, and nothing that needs trust may hang on it.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from . import ns
from .element import Element
from .errors import Condition, StanzaError
from .forms import FORM_TYPE, FieldType, Form

#: The hashes known here, by their IANA names; "All implementations MUST support SHA-1" (XEP-0115 §9.1).
ALGORITHMS = {"sha-1": "sha1", "sha-224": "sha224", "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}


class Identity(NamedTuple):
    """What an entity is (XEP-0030 §3.1): a *category* and a *type* of the registry, and a *name* in some *lang*."""

    category: str
    type: str
    lang: str = ""
    name: str = ""


class Information(NamedTuple):
    """What an entity says about itself: *identities*, *features*, *forms* of disco#info (XEP-0030 §3.1, XEP-0128)."""

    identities: tuple[Identity, ...] = ()
    features: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()

    @classmethod
    def parse(cls, query: Element) -> Information:
        """The content of a disco#info answer, in its order, repetitions and all; raises `StanzaError` (bad-request)."""
        return cls(
            tuple(
                Identity(
                    _required(each, "category"),
                    _required(each, "type"),
                    each.get("xml:lang") or "",
                    each.get("name") or "",
                )
                for each in query.children_of(ns.DISCO_INFO, "identity")
            ),
            tuple(_required(each, "var") for each in query.children_of(ns.DISCO_INFO, "feature")),
            tuple(Form.parse(each) for each in query.children_of(ns.FORM, "x")),
        )

    def to_elements(self) -> list[Element]:
        """The children of a disco#info answer."""
        return [
            *(
                Element(
                    "identity",
                    ns.DISCO_INFO,
                    attrs={
                        "category": each.category,
                        "type": each.type,
                        "xml:lang": each.lang or None,
                        "name": each.name or None,
                    },
                )
                for each in self.identities
            ),
            *(Element("feature", ns.DISCO_INFO, attrs={"var": feature}) for feature in self.features),
            *(form.to_element() for form in self.forms),
        ]


@dataclass(frozen=True, slots=True)
class Caps:
    """The ``<c/>`` of a presence or of stream features (§4).

    *node* names the software, *ver* is the *hash* of its abilities.
    """

    node: str
    ver: str
    hash: str = "sha-1"

    @classmethod
    def find(cls, parent: Element) -> Caps | None:
        """The capabilities *parent* announces; ``None`` without, or in the format of before 2008 (§13), or nonsense."""
        element = parent.child(ns.CAPS, "c")
        if element is None:
            return None
        node, ver, algorithm = element.get("node"), element.get("ver"), element.get("hash")
        if not (node and ver and algorithm):
            return None
        return cls(node, ver, algorithm)

    def to_element(self) -> Element:
        """As ``<c/>``."""
        return Element("c", ns.CAPS, attrs={"hash": self.hash, "node": self.node, "ver": self.ver})

    @property
    def query_node(self) -> str:
        """The node to ask for what *ver* stands for (§6.2)."""
        return f"{self.node}#{self.ver}"

    @property
    def can_be_checked(self) -> bool:
        """Whether the hash is known here; what cannot be checked counts for one address only (§5.4, 2.3)."""
        return self.hash in ALGORITHMS

    def stands_for(self, information: Information) -> bool:
        """Whether that answer is well-formed and has this hash (§5.4, step 3): only then may it be shared."""
        if not self.can_be_checked or ill_formed(*information) is not None:
            return False
        return verification(*information, algorithm=self.hash) == self.ver


def verification(
    identities: Iterable[Identity],
    features: Iterable[str],
    forms: Iterable[Form] = (),
    algorithm: str = "sha-1",
) -> str:
    """The *ver* of what an entity says about itself (§5.1); *algorithm* is one of `ALGORITHMS`."""
    text = verification_string(identities, features, forms)
    return b64encode(hashlib.new(ALGORITHMS[algorithm], text.encode(), usedforsecurity=False).digest()).decode()


def verification_string(identities: Iterable[Identity], features: Iterable[str], forms: Iterable[Form] = ()) -> str:
    """What is hashed (§5.1, steps 1 to 7).

    "All sorting operations MUST be performed using "i;octet" collation": code points sort as their UTF-8 does.
    """
    factors = ["/".join(identity) for identity in sorted(identities)]
    factors += sorted(features)
    for form_type, form in sorted((_hidden_type(form), form.fields) for form in forms if _hidden_type(form)):
        factors.append(form_type)
        for var, values in sorted(
            (field.var, sorted(field.values)) for field in form if field.var not in (None, FORM_TYPE)
        ):
            factors += [var, *values]
    # §5.1: "'&', 'l', 't', ';' … MUST NOT be converted to the character '<', because completing such a conversion would
    # open the protocol to trivial attacks". The XML parser has converted it; this is the way back.
    return "".join(factor.replace("<", "&lt;") + "<" for factor in factors)


def ill_formed(identities: Iterable[Identity], features: Iterable[str], forms: Iterable[Form] = ()) -> str | None:
    """Why an answer is to be considered ill-formed (§5.4, steps 3.3 to 3.5); ``None`` if it is not."""
    if _repeats(identities):
        return "an identity occurs twice"
    if _repeats(features):
        return "a feature occurs twice"
    types: list[str] = []
    for form in forms:
        values = set(form.values(FORM_TYPE))
        if len(values) > 1:
            return "a FORM_TYPE has two values"
        types += values
    return "a FORM_TYPE occurs twice" if _repeats(types) else None


def _hidden_type(form: Form) -> str:
    """The FORM_TYPE of a form that counts; a form without, or where it is not hidden, is ignored (§5.4, step 3.6)."""
    field = form.field(FORM_TYPE)
    return field.values[0] if field is not None and field.type is FieldType.HIDDEN and field.values else ""


def _repeats(values: Iterable[object]) -> bool:
    seen = list(values)
    return len(set(seen)) != len(seen)


def _required(element: Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise StanzaError(Condition.BAD_REQUEST, f"{element.name} without {name}")
    return value
