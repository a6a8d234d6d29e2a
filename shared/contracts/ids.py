"""Ids that are the same each time they are derived: no id is ever drawn at random.

An id is a prefix and 32 hexadecimal digits of BLAKE2b over its length-prefixed parts, so that
("ab", "c") and ("a", "bc") differ.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def derive(prefix: str, *parts: object) -> str:
    """prefix + "_" + 128-bit hash of the parts."""
    text = "".join([f"{len(part)}:{part}" for part in map(str, parts)])
    return f"{prefix}_{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def event_id(workspace: str, connector: str, vendor_id: str, revision: int = 0) -> str:
    """Id of one revision of what a vendor sent."""
    text = str(revision)
    return _under(workspace, connector, "evt", f"{len(vendor_id)}:{vendor_id}{len(text)}:{text}")


def message_id(workspace: str, connector: str, vendor_id: str) -> str:
    """Id of a message, the same for all its revisions."""
    return _under(workspace, connector, "msg", f"{len(vendor_id)}:{vendor_id}")


def conversation_id(workspace: str, connector: str, channel: str, conversation_key: str) -> str:
    """Id of the stable thread with a customer on one channel."""
    rest = f"{len(channel)}:{channel}{len(conversation_key)}:{conversation_key}"
    return _under(workspace, connector, "cnv", rest)


def sequenced_id(prefix: str, service: str, workspace: str, number: int) -> str:
    """Id of the thing that a service's event or input `number` brought into being."""
    return sequence(service, workspace)(prefix, number)


@lru_cache(maxsize=4096)
def sequence(service: str, workspace: str) -> Callable[[str, int], str]:
    """(prefix, number) -> `sequenced_id` of one service in one workspace."""
    head = _head(service, workspace)

    def numbered(prefix: str, number: int) -> str:
        text = str(number)
        whole = head.copy()
        whole.update(f"{len(text)}:{text}".encode())
        return f"{prefix}_{whole.hexdigest()}"

    return numbered


def _under(first: str, second: str, prefix: str, rest: str) -> str:
    """`derive` of `first`, `second` and parts that `rest` holds with their lengths."""
    whole = _head(first, second).copy()
    whole.update(rest.encode("utf-8", "surrogatepass"))
    return f"{prefix}_{whole.hexdigest()}"


@lru_cache(maxsize=4096)
def _head(first: str, second: str) -> blake2b:
    """The hash of two parts that many ids begin with: workspace and service, say. To be copied: that
    is quicker than to begin anew."""
    text = f"{len(first)}:{first}{len(second)}:{second}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)


def dedupe_key(event: str) -> bytes:
    """16 bytes to remember an event id by; any other text is hashed first."""
    digits = event.rpartition("_")[2]
    if len(digits) == 32:
        try:
            return bytes.fromhex(digits)
        except ValueError:
            pass
    return blake2b(event.encode(), digest_size=16).digest()
