"""Faults: a real server is killed, cut off, stalled and filled up while clients write to each other through it.

``make faults`` starts a server on loopback and lets clients with stream management (XEP-0198) send numbered messages to
each other. Meanwhile the server is killed and started again, connections fall silent, readers stall, the store runs
full. At the end everybody's archive (XEP-0313) is read, and judged with what the devices got: whatever the server has
acknowledged must be there, once, in order. Prosody and ejabberd go through the same.
"""
