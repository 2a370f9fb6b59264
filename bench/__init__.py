"""Federix beside Prosody, ejabberd and a bare relay: what each costs for the same work, in one run on one machine.

``python -m bench`` runs it. Reading begins in `scenarios.py`, which says what is done and counted, and in `run.py`,
which says in which order. Servers that federate are in `federated.py`; what is measured of Federix alone is in
`library.py` and `scale.py`. The figures are ratios: an absolute time says as much about the machine as about a server.
"""
