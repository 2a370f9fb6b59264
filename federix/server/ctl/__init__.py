"""`federixctl`: the operator's way into a running server.

`commands.py` has the commands, `service.py` the socket where they are asked for, `main.py` the program that asks.
"""
