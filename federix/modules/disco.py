"""XEP-0030: Service Discovery -- say what the server and its accounts are and can do, and what belongs to them.

Most of it is derived: each namespace an iq handler answers is a feature, and so are those a module names in `features`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from ..api import (
    HANDLED,
    IQ,
    JID,
    Condition,
    Element,
    Host,
    HostPattern,
    Module,
    Outcome,
    Slot,
    StanzaError,
    Xep,
    caps,
    forms,
    hooks,
    iq_get,
    ns,
    option,
)

#: What stands for this software in its capabilities (XEP-0115 §4).
CAPS_NODE: Final = "urn:x-federix"
#: XEP-0157 §3: "This information MUST be scoped using a FORM_TYPE of".
SERVER_INFO: Final = "http://jabber.org/network/serverinfo"


@dataclass(frozen=True)
class ServerInfo(Module.Options):
    """One kind of contact address (XEP-0157)."""

    modules: Literal["all"] | tuple[str, ...] = option(
        "all", "Which services show it: modules by name (mod_disco is the server itself), or all."
    )
    name: str = option("", "Its name: abuse-addresses, admin-addresses, security-addresses, status-addresses, …")
    urls: tuple[str, ...] = option((), "The addresses: mailto:abuse@example.org, xmpp:admin@example.org, …")

    def check(self) -> Iterable[tuple[str, str]]:
        if not self.name:
            yield "name", "is needed"
        # XEP-0157 §3: "Values of 'status-addresses' form field MUST be valid URIs", the others SHOULD.
        for url in self.urls:
            if not urlsplit(url).scheme:
                yield "urls", f"{url} is no URI: it should begin with mailto:, xmpp:, https: or their like"


class _Answer(NamedTuple):
    """What is made of the information about a host."""

    found: caps.Information
    info: Element
    caps: caps.Caps


class Disco(Module):
    """Answers disco#info and disco#items for the host and its accounts, and announces the host's capabilities."""

    name = "mod_disco"
    implements = (Xep(30, "2.5.0"), Xep(115, "1.6.0"), Xep(128, "1.0.1"), Xep(157, "1.1.1"))
    # XEP-0115 §7: "it MUST advertise that fact by returning a feature of".
    features = (ns.CAPS,)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_disco."""

        name: str = option("Federix", "What the server is called in its identity.")
        extra_domains: tuple[HostPattern, ...] = option((), "Domains to name among the items of this host.")
        server_info: tuple[ServerInfo, ...] = option((), "Contact addresses of the service.")

    options: Options
    _last: _Answer | None = None

    # -- the host: information ----------------------------------------------------------------------------------------

    @iq_get(ns.DISCO_INFO, "query", on=("host",))
    def host_info(self, iq: IQ) -> Element | Awaitable[Element]:
        who, node = _asked(iq)
        return self._node_info(who, node) if node else self._answer(self.information(who)).info

    async def _node_info(self, who: JID, node: str) -> Element:
        return _info(node, await self._about_node(who, node))

    def _answer(self, found: caps.Information) -> _Answer:
        """The answer is the same for nearly all who ask: it is made anew where what it is made of is another."""
        if self._last is None or self._last.found != found:
            whole = _once(found)
            self._last = _Answer(found, _info("", found), caps.Caps(CAPS_NODE, caps.verification(*whole)))
        return self._last

    def information(self, who: JID) -> caps.Information:
        """What the host is and can do, for *who*."""
        chains = self.host.chains
        features = self.host.iqs.namespaces("host")
        for module in self.host.running_modules():
            features.update(module.features)
        features.update(hooks.disco_local_features.gather_now(chains, who, ""))
        form = self.contacts(self.name)
        more = hooks.disco_info.gather_now(chains, who, "")
        return caps.Information(
            (
                caps.Identity("server", "im", name=self.options.name),
                *hooks.disco_local_identity.gather_now(chains, who, ""),
            ),
            tuple(sorted(features)),
            (form, *more) if form else tuple(more),
        )

    async def _about_node(self, who: JID, node: str) -> caps.Information:
        if node == self.capabilities().query_node:
            # XEP-0115 §6.2: "The generating entity then returns all of the capabilities it supports": those hashed.
            return self.information(self.host.jid)
        chains = self.host.chains
        identities = await hooks.disco_local_identity.gather(chains, who, node)
        features = await hooks.disco_local_features.gather(chains, who, node)
        extensions = await hooks.disco_info.gather(chains, who, node)
        return _known(caps.Information(tuple(identities), tuple(features), tuple(extensions)))

    def contacts(self, module: str) -> forms.Form | None:
        """The contact addresses which the service of *module* shows (XEP-0157); ``None`` where there are none."""
        addresses: dict[str, tuple[str, ...]] = {}
        for info in self.options.server_info:
            if info.modules == "all" or module in info.modules:
                addresses[info.name] = (*addresses.get(info.name, ()), *info.urls)
        if not addresses:
            return None
        fields = (forms.Field(name, forms.FieldType.LIST_MULTI, values=urls) for name, urls in addresses.items())
        return forms.Form.of(forms.FormType.RESULT, SERVER_INFO, fields)

    # -- the host: capabilities ---------------------------------------------------------------------------------------

    def capabilities(self) -> caps.Caps:
        """One string for all the host can do (XEP-0115)."""
        return self._answer(self.information(self.host.jid)).caps

    @hooks.c2s_post_auth_features
    def announce(self) -> list[Element]:
        """XEP-0115 §6.3: spares each client the question."""
        return [self.capabilities().to_element()]

    # -- the host: items ----------------------------------------------------------------------------------------------

    @iq_get(ns.DISCO_ITEMS, "query", on=("host",))
    async def host_items(self, iq: IQ) -> Element:
        who, node = _asked(iq)
        items = await hooks.disco_local_items.gather(self.host.chains, who, node)
        if not node:
            named = {item.get("jid") for item in items}
            items += [_item(domain) for domain in self._services() if domain not in named]
        elif not items:
            # §7: "if an entity has no associated items, it MUST return an empty <query/> element (rather than an
            # error)". A node that is not there is an error.
            await self._about_node(who, node)
        return _items(node, items)

    def _services(self) -> list[str]:
        """The domains below this host's that are no hosts and belong to no closer one, and those of the options."""
        router = self.host.server.router
        hosts = {self.host.name}
        if self.host.parent is not None:
            hosts |= {name for name, node in self.host.parent.children.items() if isinstance(node, Host)}
        found: dict[str, None] = {}
        for domain in router.domains():
            above = [host for host in hosts if domain.endswith(f".{host}")]
            if domain not in hosts and above and max(above, key=len) == self.host.name:
                found[domain] = None
        found |= dict.fromkeys(pattern.of(self.host.name) for pattern in self.options.extra_domains)
        return sorted(found)

    # -- an account ---------------------------------------------------------------------------------------------------

    @iq_get(ns.DISCO_INFO, "query", on=("account",))
    async def account_info(self, iq: IQ) -> Element:
        who, node = _asked(iq)
        account = _account(iq)
        # §8: "the server MUST return a <service-unavailable/> error if … The requesting entity is not authorized to
        # receive presence from the target entity".
        if not await self.host.may_see_presence(account, who):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return _info(node, await self._about_account(account, who, node))

    async def _about_account(self, account: JID, who: JID, node: str) -> caps.Information:
        chains = self.host.chains
        identities = await hooks.disco_sm_identity.gather(chains, account, who, node)
        features = await hooks.disco_sm_features.gather(chains, account, who, node)
        extensions = await hooks.disco_sm_info.gather(chains, account, who, node)
        if node:
            return _known(caps.Information(tuple(identities), tuple(features), tuple(extensions)))
        # §3.1: "the primary identity SHOULD have a category of "account" with an appropriate type".
        return caps.Information(
            (caps.Identity("account", "registered"), *identities),
            (*self.host.iqs.namespaces("account"), *features),
            tuple(extensions),
        )

    @iq_get(ns.DISCO_ITEMS, "query", on=("account",))
    async def account_items(self, iq: IQ) -> Element:
        who, node = _asked(iq)
        account = _account(iq)
        items = await hooks.disco_sm_items.gather(self.host.chains, account, who, node)
        # §8: "the server MUST return an empty result set if … the only items are available resources …, and the
        # requesting entity is not authorized to receive presence from the target entity". Those who are not learn
        # nothing of nodes that are not there either.
        if not await self.host.may_see_presence(account, who):
            return _items(node, items)
        if not node:
            items += [_item(str(session.jid)) for session in self.host.sessions.available(account.local)]
        elif not items:
            await self._about_account(account, who, node)
        return _items(node, items)

    @hooks.sm_receive_packet.only(IQ, Slot.FALLBACK)
    def nobody(self, account: JID, stanza: IQ) -> Outcome | Awaitable[Outcome]:
        """Questions for accounts that may not exist; anything else is let through."""
        if stanza.type != "get" or stanza.child(ns.DISCO_ITEMS, "query") is None:
            return None
        return None if stanza.to is None or stanza.to.resource else self._items_of_nobody(stanza, account)

    async def _items_of_nobody(self, iq: IQ, account: JID) -> Outcome:
        """§8: "In response to a disco#items request, the server MUST return an empty result set if: The target entity
        does not exist (no matter if the request specifies a node or not)."
        """
        if await self.host.accounts.exists(account.local):
            return None
        _, node = _asked(iq)
        self.host.route(iq.result(_items(node, ())))
        return HANDLED


def _asked(iq: IQ) -> tuple[JID, str]:
    """Who asks, and about which node; "" for none."""
    sender, query = iq.sender, iq.payload
    assert sender is not None and query is not None
    return sender, query.get("node") or ""


def _account(iq: IQ) -> JID:
    assert iq.to is not None
    return iq.to.bare


def _known(found: caps.Information) -> caps.Information:
    """§7: "<item-not-found/>: The JID or JID+NodeID of the specified target entity does not exist"."""
    if not any(found):
        raise StanzaError(Condition.ITEM_NOT_FOUND)
    return found


def _once(found: caps.Information) -> caps.Information:
    """*found* with everything once and in order: what occurs twice makes an answer ill-formed (XEP-0115 §5.4).

    §3.1: "the <query/> element MUST NOT include multiple <identity/> elements with the same category+type+xml:lang
    but with different 'name' values".
    """
    identities: dict[tuple[str, ...], caps.Identity] = {}
    for identity in found.identities:
        identities.setdefault(identity[:3], identity)
    # §3.1: "every entity MUST support at least the 'http://jabber.org/protocol/disco#info' feature".
    features = {*found.features, ns.DISCO_INFO}
    return caps.Information(tuple(identities.values()), tuple(sorted(features)), found.forms)


def _info(node: str, found: caps.Information) -> Element:
    """§3.2: "If the request included a 'node' attribute, the response MUST mirror the specified 'node' attribute"."""
    return Element("query", ns.DISCO_INFO, *_once(found).to_elements(), attrs={"node": node or None})


def _items(node: str, items: Iterable[Element]) -> Element:
    return Element("query", ns.DISCO_ITEMS, *items, attrs={"node": node or None})


def _item(address: str) -> Element:
    """§4.1: "the <item/> child MUST possess a 'jid' attribute"."""
    return Element("item", ns.DISCO_ITEMS, attrs={"jid": address})
