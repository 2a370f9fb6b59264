"""Tells `twistd` that there is a server called `federix`.

Neither this folder nor the one above may have an `__init__.py`: both belong to Twisted.
"""

from twisted.application.service import ServiceMaker

federix = ServiceMaker("Federix", "federix.server.tap", "Federated XMPP server.", "federix")
