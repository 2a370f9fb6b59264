"""A handler written for wokkel, hosted as a module: dice that roll when they are spoken to.

In the configuration, with this file where Python finds it::

    modules:
      wokkel_handler.DiceModule:
        host: dice.@HOST@
"""

import random

# First, since it sees to it that wokkel finds the Twisted it knows.
from federix.modules.wokkel_host import HandlerModule

from twisted.words.xish import domish  # isort: skip
from wokkel.xmppim import MessageProtocol  # isort: skip


class Dice(MessageProtocol):
    """Nothing in it knows of Federix: it would run in wokkel's own client, or as its component."""

    def onMessage(self, message):
        sides = str(message.body or "").strip().removeprefix("d")
        answer = domish.Element((None, "message"))
        answer["to"], answer["from"], answer["type"] = message["from"], message["to"], "chat"
        answer.addElement("body", content=self.roll(int(sides) if sides.isascii() and sides.isdigit() else 0))
        self.send(answer)

    def roll(self, sides):
        return f"{random.randint(1, sides)}" if 1 <= sides <= 1000 else "Say d6, or d20, or any up to d1000."


class DiceModule(HandlerModule):
    """Rolls dice, at an address of its own."""

    name = "mod_dice"

    def make_handlers(self):
        return [Dice()]
