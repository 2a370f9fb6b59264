"""How much each account may do of something that is dear: so much at once, and so much a minute from then on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MINUTE: Final = 60.0


class _Spent:
    __slots__ = ("amount", "then")

    def __init__(self, now: float) -> None:
        self.amount = 0.0
        self.then = now


class Allowances:
    """What accounts have spent of their allowances; *seconds* is a monotonic clock.

    An account is forgotten when it has asked for nothing in the time that a whole allowance takes to come back, and not
    when its sessions end: or it would only have to log in again.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        #: By account; who has asked longest ago stands first.
        self._spent: OrderedDict[str, _Spent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._spent)

    def take(self, account: str, *, at_once: int, per_minute: float, most: int | None = None) -> bool:
        """Spend one of the *at_once* that the account has and that come back at *per_minute*; whether there was one.

        Where *most* is given, no more than that may be spent for now.
        """
        now, rate = self._seconds(), per_minute / MINUTE
        self._forget(now, at_once / rate)
        spent = self._spent.get(account)
        if spent is None:
            spent = self._spent[account] = _Spent(now)
        else:
            spent.amount = max(spent.amount - (now - spent.then) * rate, 0.0)
            spent.then = now
            self._spent.move_to_end(account)
        if spent.amount + 1 > (at_once if most is None else min(at_once, most)):
            return False
        spent.amount += 1
        return True

    def _forget(self, now: float, whole: float) -> None:
        """Forget those who have asked for nothing for *whole* seconds."""
        while self._spent:
            account, spent = next(iter(self._spent.items()))
            if now - spent.then < whole:
                return
            del self._spent[account]
