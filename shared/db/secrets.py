"""Secrets at rest: AES-256-GCM under a key that PostgreSQL never sees."""

import os
from base64 import urlsafe_b64decode
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.db.files import write_private

KEY_BYTES = 32
KEY_FILE = "secret.key"

_FORMAT = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12


class SecretUnreadable(Exception):
    """Sealed with a key that we do not have, for another place, or tampered with."""


class SecretBox:
    """Seals small secrets. Sealed: format (1 byte), key id (4), nonce (12), ciphertext and tag.

    The first key seals, all open: to rotate, put the new key first and keep the old ones until
    everything is sealed again (`is_current` tells).
    """

    def __init__(self, *keys: bytes) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a secret key has {KEY_BYTES} bytes")
        self._boxes = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def encrypt(self, secret: bytes, place: str = "") -> bytes:
        """Sealed for `place` (say "ws/connector/name"): elsewhere it does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._boxes[self._current].encrypt(nonce, secret, place.encode())
        return _FORMAT + self._current + nonce + sealed

    def decrypt(self, sealed: bytes, place: str = "") -> bytes:
        """The secret. Raises SecretUnreadable."""
        box = self._boxes.get(sealed[1 : 1 + _ID_BYTES])
        if sealed[:1] != _FORMAT or box is None:
            raise SecretUnreadable("sealed with a key that OMNIROUTE_SECRET_KEY does not hold")
        start = 1 + _ID_BYTES
        nonce, text = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            return box.decrypt(nonce, text, place.encode())
        except (InvalidTag, ValueError):
            raise SecretUnreadable("the sealed secret is damaged or belongs elsewhere") from None

    def knows(self, sealed: bytes) -> bool:
        """Whether it is sealed with one of the keys."""
        return sealed[1 : 1 + _ID_BYTES] in self._boxes

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed with the key in use."""
        return sealed[1 : 1 + _ID_BYTES] == self._current

    def __repr__(self) -> str:
        return f"SecretBox({len(self._boxes)} keys)"


def parse_keys(text: str) -> list[bytes]:
    """OMNIROUTE_SECRET_KEY: URL-safe base64 of 32 bytes, several (newest first) between commas.

    Raises ValueError, which does not repeat the text.
    """
    keys: list[bytes] = []
    for part in text.split(","):
        try:
            key = urlsafe_b64decode(part.strip() + "=" * (-len(part.strip()) % 4))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError("is not 32 bytes in URL-safe base64")
        keys.append(key)
    return keys


def load_keys(data_dir: Path, configured: str | None) -> list[bytes]:
    """The configured keys, else the one kept in `data_dir`, made when there is none yet.

    Replicas on several machines need a configured one.
    """
    if configured:
        return parse_keys(configured)
    path = data_dir / KEY_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, os.urandom(KEY_BYTES))
    return [path.read_bytes()]


def _key_id(key: bytes) -> bytes:
    return sha256(b"omniroute key id" + key).digest()[:_ID_BYTES]
