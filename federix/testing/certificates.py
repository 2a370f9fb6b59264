"""Certificates of a network in memory: right ones, and wrong ones of every kind; each made once in a process."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from ..streams.issuing import issue
from .authority import Authority, Issued

#: `trusted` is as it should be; `stranger` comes from an authority nobody knows, `self-signed` from itself; `expired`
#: and `early` are right at another time, `wrong-name` for another domain.
Kind = Literal["trusted", "self-signed", "stranger", "expired", "early", "wrong-name"]
#: Whom a certificate of the wrong name names.
WRONG_NAME: Final = "somebody-else.test"
#: Those that are kept for the next test: making one takes half a millisecond.
KEPT: Final = 256

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@lru_cache(KEPT)
def authority(moment: datetime, name: str = "Federix: authority of a network") -> Authority:
    """The authority of that name, which issues certificates that are right at *moment* and for a while after it."""
    return Authority(name=name, moment=moment, begins=-1000 * _DAY, ends=10_000 * _DAY)


@lru_cache(KEPT)
def certificate(moment: datetime, domains: tuple[str, ...], kind: Kind = "trusted") -> Issued:
    """A certificate for *domains*, of that kind at *moment*."""
    if kind == "self-signed":
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(issue(key, domains, moment), key)
    issuer = authority(moment) if kind != "stranger" else authority(moment, "Federix: an authority nobody knows")
    if kind == "expired":
        return issuer.issue(*domains, begins=-90 * _DAY, ends=-_HOUR)
    if kind == "early":
        return issuer.issue(*domains, begins=_HOUR)
    return issuer.issue(*((WRONG_NAME,) if kind == "wrong-name" else domains))
