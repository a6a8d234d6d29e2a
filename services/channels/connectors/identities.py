"""Who someone is: phone numbers in E.164, e-mail addresses normalised, everything else as given."""

import re
from functools import lru_cache

import phonenumbers

from shared.contracts.interactions import Identity

EMAIL = "email"
PHONE = "phone"

_ADDRESS = re.compile(r"[^@\s<>\"]{1,256}@[^@\s<>\",;]{1,255}\Z")


@lru_cache(maxsize=16_384)
def phone(number: str | None, region: str | None = None) -> str | None:
    """E.164 of a number as dialled (with `region`) or international, with or without "+"; None
    when it is no possible number. Remembered: the same people write again, and reading a number
    takes as long as all the rest of a chat message."""
    if not number or len(number) > 40:
        return None
    digits = number.strip()
    if region is None and not digits.startswith("+"):
        digits = "+" + digits.removeprefix("00")
    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=16_384)
def email(address: str | None) -> str | None:
    """The address in lower case, its domain in Unicode's ASCII form where that is possible."""
    if not address or len(address) > 600 or not _ADDRESS.match(address.strip()):
        return None
    local, _, domain = address.strip().lower().rpartition("@")
    return f"{local}@{_ascii_domain(domain.rstrip('.'))}"


def _ascii_domain(domain: str) -> str:
    try:
        return domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        return domain


def identities(**schemes: str | None) -> list[Identity]:
    """Identities of one person, those that are known; each once."""
    return [Identity(scheme, value) for scheme, value in schemes.items() if value]
