"""SASL, the server's half: who a client is (RFC 4422, RFC 6120 §6). Reading begins in `exchange`."""

from federix.xmpp.sasl.accounts import Challenge, InExecutor, Success
from federix.xmpp.sasl.bindings import announced, server_end_point
from federix.xmpp.sasl.credentials import HASH_NAMES, Credentials, EncodedKeys, HashName, ScramKeys, derive, matches
from federix.xmpp.sasl.decoys import Decoys
from federix.xmpp.sasl.encoding import decode_base64, encode_base64
from federix.xmpp.sasl.exchange import Exchange
from federix.xmpp.sasl.mechanisms import MECHANISMS, PLAIN, available, hash_of, is_plus
from federix.xmpp.sasl.passwords import InvalidPassword, prepare_password

__all__ = [
    "HASH_NAMES",
    "MECHANISMS",
    "PLAIN",
    "Challenge",
    "Credentials",
    "Decoys",
    "EncodedKeys",
    "Exchange",
    "HashName",
    "InExecutor",
    "InvalidPassword",
    "ScramKeys",
    "Success",
    "announced",
    "available",
    "decode_base64",
    "derive",
    "encode_base64",
    "hash_of",
    "is_plus",
    "matches",
    "prepare_password",
    "server_end_point",
]
