"""A server, two people, and a cable that is pulled."""

from federix.testing import World

world = World(modules={"mod_ping": {"send_pings": True, "ping_interval": 60, "timeout_action": "kill"}})
romeo = world.client("romeo@example.org/orchard")
juliet = world.client("juliet@example.org/balcony", tls=True)

romeo.send("<message to='juliet@example.org/balcony'><body>hi</body></message>")
message = juliet.expect("<message from='romeo@example.org/orchard'><body>*</body></message>")
assert message.text_of("jabber:client", "body") == "hi"

romeo.wire.broken = True
world.advance(60.0)
juliet.send(f"<iq type='result' id='{juliet.receive().get('id')}' to='example.org'/>")
world.advance(40.0)
assert [session.jid for session in world.host("example.org").sessions] == [juliet.jid]
world.stop()
