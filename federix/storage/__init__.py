"""Where things are kept. Begin at `shapes.py`, what modules use, and `storage.py`, what a back end is.

Back ends are imported by name where one is chosen (`memory.py`, `sqlite.py`), because some are costly to import.
"""
