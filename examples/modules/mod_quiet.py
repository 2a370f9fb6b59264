"""Quiet hours: chat messages that come at night are answered once, and still delivered."""

from dataclasses import dataclass

from federix.api import JID, Message, Module, hooks, message, option


class Quiet(Module):
    name = "mod_quiet"

    @dataclass(frozen=True)
    class Options(Module.Options):
        begin: int = option(22, "The hour (UTC) at which the night begins.", minimum=0, maximum=23)
        end: int = option(7, "The hour (UTC) at which it ends.", minimum=0, maximum=23)
        text: str = option("Good night! Your message will be read in the morning.", "The answer.")

    options: Options

    async def on_start(self) -> None:
        self.told: set[tuple[JID, JID]] = set()

    @hooks.sm_receive_packet.only(Message)
    def answer(self, account: JID, stanza: Message) -> None:
        if not stanza.body or stanza.type != "chat":
            return
        hour, night = self.host.now() // 3600 % 24, self.options
        if not (hour >= night.begin or hour < night.end):
            self.told.clear()
        elif stanza.sender and (account, stanza.sender.bare) not in self.told:
            self.told.add((account, stanza.sender.bare))
            self.host.route(message("headline", body=night.text, to=stanza.sender, sender=account))
