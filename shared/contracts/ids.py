"""Ids that are the same each time they are derived: no id is ever drawn at random.

An id is a prefix and 32 hexadecimal digits of BLAKE2b over its length-prefixed parts, so that
("ab", "c") and ("a", "bc") differ.
"""

import re
from functools import lru_cache
from hashlib import blake2b

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def derive(prefix: str, *parts: object) -> str:
    """prefix + "_" + 128-bit hash of the parts."""
    text = "".join([f"{len(part)}:{part}" for part in map(str, parts)])
    return f"{prefix}_{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def event_id(workspace: str, connector: str, vendor_id: str, revision: int = 0) -> str:
    """Id of one revision of what a vendor sent."""
    return derive("evt", workspace, connector, vendor_id, revision)


def message_id(workspace: str, connector: str, vendor_id: str) -> str:
    """Id of a message, the same for all its revisions."""
    return derive("msg", workspace, connector, vendor_id)


@lru_cache(maxsize=16_384)
def conversation_id(workspace: str, connector: str, channel: str, conversation_key: str) -> str:
    """Id of the stable thread with a customer on one channel."""
    return derive("cnv", workspace, connector, channel, conversation_key)


def sequenced_id(prefix: str, service: str, workspace: str, number: int) -> str:
    """Id of the thing that a service's event or input `number` brought into being."""
    text = str(number)
    whole = _head(service, workspace) + f"{len(text)}:{text}".encode()
    return f"{prefix}_{blake2b(whole, digest_size=16).hexdigest()}"


@lru_cache(maxsize=4096)
def _head(service: str, workspace: str) -> bytes:
    """What `derive` hashes of all things of one workspace in one service."""
    text = f"{len(service)}:{service}{len(workspace)}:{workspace}"
    return text.encode("utf-8", "surrogatepass")


def dedupe_key(event: str) -> bytes:
    """16 bytes to remember an event id by; any other text is hashed first."""
    digits = event.rpartition("_")[2]
    if len(digits) == 32:
        try:
            return bytes.fromhex(digits)
        except ValueError:
            pass
    return blake2b(event.encode(), digest_size=16).digest()
