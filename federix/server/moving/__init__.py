"""Accounts move from and to other servers, in the format of XEP-0227.

`commands.py` has what the operator asks for, `writing.py` makes files of accounts, `reading.py` finds in files what
there is, and `bringing.py` gives that to the accounts' modules.
"""
