"""Text that OpenPGP signed in place: the words without what stands around them. RFC 9580, 7."""

import re

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_HEADER = re.compile(r"[A-Za-z-]{1,40}: ")


def unarmoured(text: str) -> str:
    """The text with the words of each signed stretch instead of the stretch."""
    if _BEGIN not in text:
        return text
    kept: list[str] = []
    state = "outside"
    for line in text.split("\n"):
        mark = line.rstrip()
        if mark == _BEGIN:
            state = "head"
        elif mark == _SIGNATURE and state in ("words", "head"):
            state = "signature"
        elif mark == _END and state == "signature":
            state = "outside"
        elif state == "head" and (not mark or _HEADER.match(line)):
            state = "head" if mark else "words"
        elif state != "signature":
            state = "words" if state == "head" else state
            kept.append(line[2:] if state == "words" and line.startswith("- ") else line)
    return "\n".join(kept)
