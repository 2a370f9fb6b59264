"""Data forms, capabilities, result sets, delays: an element is one, and is written as the same, or a `StanzaError`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from federix.xmpp import delay, rsm
from federix.xmpp.caps import Caps, Information, ill_formed, verification
from federix.xmpp.delay import Delay, parse_stamp, stamp
from federix.xmpp.element import Element
from federix.xmpp.errors import StanzaError
from federix.xmpp.forms import Form

from ..mutation import elements_changed, elements_of

changed = elements_changed


def check(data: bytes) -> None:
    for top in elements_of(data):
        for element in _all(top):
            _try(_check_form, element)
            _try(_check_information, element)
            _try(_check_request, element)
            _try(_check_page, element)
            _try(_check_delay, element)
            _try(_check_stamp, element)
            _check_caps(element)


def _all(element: Element) -> Iterator[Element]:
    found = [element]
    for each in found:
        yield each
        found.extend(each.elements())


def _try(codec: Callable[[Element], None], element: Element) -> None:
    try:
        codec(element)
    except StanzaError:
        pass


def _check_form(element: Element) -> None:
    form = Form.parse(element)
    assert Form.parse(form.to_element()) == form, element
    for field in form.fields:
        var = field.var or ""
        for read in (
            lambda var=var: form.boolean(var),
            lambda var=var: form.integer(var, -5, 100),
            lambda var=var: form.choice(var, ("a", "b")),
            lambda var=var: form.jids(var),
            lambda var=var: form.jid(var),
            lambda var=var: form.text(var),
        ):
            try:
                read()
            except StanzaError:
                pass
    _ = form.form_type


def _check_information(element: Element) -> None:
    information = Information.parse(element)
    again = Information.parse(Element(element.name, element.ns, *information.to_elements()))
    assert again == information, element
    for algorithm in ("sha-1", "sha-512"):
        ver = verification(*information, algorithm=algorithm)
        assert verification(*again, algorithm=algorithm) == ver
        trusted = ill_formed(*information) is None
        assert Caps("node", ver, algorithm).stands_for(information) is trusted
    # The order says nothing.
    mirrored = Information(*(tuple(reversed(part)) for part in information))  # type: ignore[arg-type]
    assert verification(*mirrored) == verification(*information), element


def _check_caps(element: Element) -> None:
    caps = Caps.find(element)
    if caps is not None:
        assert Caps.find(Element("presence", "jabber:client", caps.to_element())) == caps
        caps.stands_for(Information())


def _check_request(element: Element) -> None:
    request = rsm.Request.parse(element)
    assert rsm.Request.parse(request.to_element()) == request, element
    items = [str(number) for number in range(10)]
    size = request.size(4, 6)
    assert 0 <= size <= 6
    cut, page = rsm.cut(items, str, request, size)
    assert len(cut) <= size
    assert rsm.Page.parse(page.to_element()) == page


def _check_page(element: Element) -> None:
    page = rsm.Page.parse(element)
    assert rsm.Page.parse(page.to_element()) == page, element


def _check_delay(element: Element) -> None:
    found = delay.Delay.parse(element)
    try:
        written = found.to_element()
    except ValueError:
        return  # an offset carries it past the years that can be written
    assert Delay.parse(written) == found, element


def _check_stamp(element: Element) -> None:
    for text in (element.text, *element.attrs.values()):
        try:
            seconds = parse_stamp(text)
        except StanzaError:
            continue
        try:
            written = stamp(seconds)
        except ValueError:
            continue
        assert parse_stamp(written) == seconds, text
