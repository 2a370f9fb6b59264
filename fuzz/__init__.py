"""Fuzzers: what nobody would think of sending, sent by the million.

A target (`targets/<name>.py`) is a function ``check(data: bytes)`` that raises `AssertionError` where a rule is broken,
and lets everything through that must not be raised. ``make fuzz`` has atheris find the bytes, guided by what code they
reach; ``tests/fuzz`` replays the corpus with a few random changes, and needs no atheris.

The seeds are in ``corpus/<target>/``, written by hand. What a run finds beyond them is kept in ``found/<target>/`` for
the next one to begin with, and so are the inputs that broke something; ``python -m fuzz <target> <file>…`` replays
those.
"""
