"""What archive ids look like outside: XEP-0313 wants them unpredictable, storage wants them to grow.

Storage knows a message by a number, the microseconds since 1970. Everybody else is told that number as one block of
AES under a key of this server's own: it says nothing about the time, the number of messages or other ids, and it
tells the number again to who has the key. So nothing else need be kept for it, and paging rests on the numbers.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ..storage.codec import BYTES
from ..storage.shapes import Document
from ..storage.storage import Storage, StoreError

#: Bytes of the key, and of a block.
KEY_LENGTH: Final = 16
_BLOCK: Final = 16
#: The greatest number that storage can have: the upper half of a block, and one bit, are zero.
MOST: Final = 2**63 - 1
#: Characters of an id: a block in base64 without padding.
LENGTH: Final = len(urlsafe_b64encode(bytes(_BLOCK)).rstrip(b"="))
#: Digits of a number in a file.
_MOST_DIGITS: Final = 18
#: The number of a message is as far from the time it came, in microseconds, at most: times may be told to the second,
#: and what waits for a client was put there somewhat later.
NEAR: Final = 60_000_000
_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE: Final = bytes.maketrans(b"-_+/", b"+/  ")  # a space is in neither alphabet

#: One key for all archives in one storage. It must outlive restarts, be the same on all servers that share the storage
#: and move with it: clients remember ids.
_KEY: Final = Document("archive-ids", BYTES)
#: Whose it is: not a host's, as a message between two hosts has one id in both its archives.
_OWNER: Final = ""


class UnknownArchiveId(ValueError):
    """It is not the id of any message: no archive of this server ever told it."""


class ArchiveIds:
    """Tells numbers of archives as ids, and numbers by ids.

    XEP-0313 §3: "A server-assigned UID that MUST be unpredictable and unique within the archive." XEP-0359 §6:
    "Entities observing the value MUST NOT be able to infer any information from it, e.g. the size of the message
    archive."
    """

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise ValueError(f"a key has {KEY_LENGTH} bytes")
        # One block each time, and no two are the same: nothing is chained, so one context serves for all.
        cipher = Cipher(algorithms.AES(key), modes.ECB())
        self._encrypt = cipher.encryptor().update
        self._decrypt = cipher.decryptor().update

    def encode(self, number: int) -> str:
        """The id of the message that storage knows by *number*, which is 0 to `MOST`."""
        block = self._encrypt(number.to_bytes(_BLOCK, "big"))
        return b2a_base64(block, newline=False)[:LENGTH].translate(_TO_URL_SAFE).decode()

    def decode(self, id: str) -> int:
        """The number of the message with that *id*; raises `UnknownArchiveId`."""
        if len(id) != LENGTH or not id.isascii():
            raise UnknownArchiveId
        try:
            block = a2b_base64(id.encode().translate(_FROM_URL_SAFE) + b"==", strict_mode=True)
        except Error:
            raise UnknownArchiveId from None
        number = int.from_bytes(self._decrypt(block), "big")
        # The last character has bits beyond the block: other texts of the same block are no ids.
        if number > MOST or self.encode(number) != id:
            raise UnknownArchiveId
        return number

    def brought(self, text: str, at: int) -> int | None:
        """The number of a message that is brought from elsewhere and came *at*, in microseconds since 1970.

        Files have the number itself, as ejabberd's have; an id is one of ours. ``None`` for anything else, or where
        the number is of quite another time.
        """
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            number = int(text)
        else:
            try:
                number = self.decode(text)
            except UnknownArchiveId:
                return None
        return number if abs(number - at) < NEAR else None

    @classmethod
    async def kept_in(cls, storage: Storage, random_bytes: Callable[[int], bytes]) -> ArchiveIds:
        """Those of the archives in *storage*; the key is made where there is none yet. Raises `StoreError`."""
        kept = _KEY.bind(storage)
        key = await kept.get(_OWNER) or await kept.put_new(_OWNER, random_bytes(KEY_LENGTH))
        if len(key) != KEY_LENGTH:
            raise StoreError("the key of the archives' ids is damaged")
        return cls(key)
