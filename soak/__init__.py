"""Soaking: a real server under mixed traffic for an hour, to see that nothing is lost and that nothing grows.

``make soak`` starts `twistd federix` on loopback, lets a population of clients live on it while others come and go in
every way there is, looks at the server's memory and descriptors all the time, and says at the end whether both are what
they were. What every client is answered is checked on the way; the figures of speed are the affair of `bench`.
"""
