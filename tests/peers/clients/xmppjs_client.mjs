// @xmpp/client as a client a test can command (see console.py). NODE_EXTRA_CA_CERTS names the authority to trust.
import { webcrypto } from "node:crypto";
import readline from "node:readline";
import { parseArgs } from "node:util";

// COMPAT(node 18): @xmpp/client expects this to be global, as it is since node 20.
globalThis.crypto ??= webcrypto;
const { client, jid, xml } = await import("@xmpp/client");

const ROSTER = "jabber:iq:roster";
const text = { type: "string" };
const { values: login } = parseArgs({
  options: { user: text, host: text, password: text, port: text, tls: text, authority: text },
});

const tell = (event, details) => console.log(JSON.stringify({ event, ...details }));
const scheme = login.tls === "direct" ? "xmpps" : "xmpp";
const xmpp = client({
  // With direct TLS the certificate is checked against the name in this address.
  service: `${scheme}://${login.host}:${login.port}`,
  domain: login.host,
  username: login.user,
  password: login.password,
});
xmpp.reconnect.stop();

function tellItems(query) {
  for (const item of query.getChildren("item")) {
    const { jid: contact, name = "" } = item.attrs;
    tell("roster", { contact, name, group: item.getChildText("group") ?? "" });
  }
}

xmpp.iqCallee.set(ROSTER, "query", ({ element }) => {
  tellItems(element);
  return true;
});

xmpp.on("element", (element) => console.error("received", element.toString()));
// Its SCRAM is computed in JavaScript, which on a busy machine takes longer than the two seconds it allows by itself.
xmpp.timeout = 20_000;
xmpp.on("send", (element) => console.error("sent", element.toString()));
xmpp.on("error", (error) => console.error(error));
xmpp.on("offline", () => tell("offline", { reason: "" }));
xmpp.on("disconnect", () => tell("offline", { reason: "disconnected" }));
xmpp.on("stanza", (stanza) => {
  const sender = stanza.attrs.from;
  if (stanza.is("message") && stanza.getChild("body")) {
    tell("message", { sender, body: stanza.getChildText("body") });
  }
  if (stanza.is("presence") && jid(sender).bare().toString() !== xmpp.jid.bare().toString()) {
    tell(stanza.attrs.type ?? "available", { sender });
  }
});

const obey = {
  message: ({ to, body }) => xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body))),
  subscribe: ({ to }) => xmpp.send(xml("presence", { to, type: "subscribe" })),
  approve: ({ to }) => xmpp.send(xml("presence", { to, type: "subscribed" })),
  roster: ({ contact, name, group }) => {
    const item = xml("item", { jid: contact, name }, xml("group", {}, group));
    return xmpp.iqCaller.set(xml("query", { xmlns: ROSTER }, item));
  },
};

xmpp.on("online", async (address) => {
  tellItems(await xmpp.iqCaller.get(xml("query", { xmlns: ROSTER })));
  await xmpp.send(xml("presence"));
  // The server takes what we send in order: when this is answered, messages reach us.
  await xmpp.iqCaller.get(xml("query", { xmlns: ROSTER }));
  tell("online", { jid: address.toString() });
});
await xmpp.start();

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.do === "quit") break;
  await obey[command.do](command);
}
await xmpp.stop();
process.exit(0);
