"""Who a customer is: identities of every channel resolved to one customer."""

from collections.abc import Iterable
from typing import Any

from services.router.domain.config import Customer
from services.router.domain.shapes import ResolvedIdentity
from shared.contracts.interactions import Identity

Key = tuple[str, str]

# The rules of resolution, as operators see them (`POST customers:resolve`).
RULES = (
    "E-mail addresses are compared without regard to case.",
    "Numbers of phone, sms, tel and whatsapp are one scheme, compared as + and digits; 00 is +.",
    "Other schemes are compared as written, without spaces at the ends.",
    "Of several identities the first that is known decides.",
    "An identity that several customers claim belongs to the smallest id.",
    "A merged customer is the one he was merged into, until the merge is undone.",
)

_NUMBERS = frozenset({"phone", "sms", "tel", "whatsapp"})


def normalise(scheme: str, value: str) -> Key:
    """The form in which identities are compared: e-mail addresses without regard to case, telephone
    numbers (also of WhatsApp and SMS) as + and digits, anything else without spaces at its ends."""
    scheme = scheme.strip().lower()
    value = value.strip()
    if scheme == "email":
        return scheme, value.casefold()
    if scheme in _NUMBERS:
        return "phone", _number(value)
    return scheme, value


def _number(value: str) -> str:
    digits = "".join(char for char in value if char.isdecimal() and char.isascii())
    if value.startswith("00"):
        digits = digits[2:]
    return f"+{digits}" if digits else value


class CustomerIndex:
    """The customers of a workspace by identity.

    An identity that several customers claim belongs to the one with the smallest id; of several
    identities the first that is known decides. So the answer never depends on the order of writes.
    """

    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._owners: dict[Key, list[str]] = {}
        self._merged: dict[str, str] = {}
        self._parts: dict[str, set[str]] = {}  # by whom they were merged into, directly
        self._whole: dict[str, Customer] = {}  # joined profiles, as they were asked for

    def __len__(self) -> int:
        return len(self._customers)

    def __contains__(self, customer: str) -> bool:
        """Whether he is written, and not deleted; merged or not."""
        return customer in self._customers

    def get(self, customer: str) -> Customer | None:
        """The customer, with what was merged into him; of a merged one, who he was merged into."""
        if not self._merged:
            return self._customers.get(customer)
        name = self.canonical(customer)
        own = self._customers.get(name)
        if own is None or name not in self._parts:
            return own
        whole = self._whole.get(name)
        if whole is None:
            parts = [self._customers[one] for one in self.parts(name) if one in self._customers]
            whole = self._whole[name] = _joined(own, parts)
        return whole

    def canonical(self, customer: str) -> str:
        """Whom a customer was merged into, in the end; himself where he was not."""
        while (into := self._merged.get(customer)) is not None and into in self._customers:
            customer = into
        return customer

    def parts(self, customer: str) -> list[str]:
        """Customers merged into this one, directly or through others, in the order of ids."""
        found = self._parts.get(customer, set[str]())
        return sorted({*found, *(part for name in found for part in self.parts(name))})

    def merge(self, customer: str, into: str) -> None:
        """From now on `customer` is `into`; the caller has seen that this makes no circle."""
        self.split(customer)
        self._merged[customer] = into
        self._parts.setdefault(into, set()).add(customer)
        self._changed(customer)

    def split(self, customer: str) -> None:
        """Undo his merge; one that never was is no fault."""
        self._changed(customer)
        into = self._merged.pop(customer, None)
        if into is not None:
            self._parts[into].discard(customer)
            if not self._parts[into]:
                del self._parts[into]

    def _changed(self, customer: str) -> None:
        """The profiles that he is part of are joined anew when they are next asked for."""
        name: str | None = customer
        while name is not None and self._merged:
            self._whole.pop(name, None)
            name = self._merged.get(name)

    def put(self, customer: Customer) -> None:
        """Adds or replaces a customer."""
        self.remove(customer.id)
        self._customers[customer.id] = customer
        self._changed(customer.id)
        for key in _keys(customer):
            owners = self._owners.setdefault(key, [])
            owners.append(customer.id)
            owners.sort()

    def remove(self, customer: str) -> None:
        """Forgets a customer; one that is not there is no fault."""
        known = self._customers.pop(customer, None)
        for key in _keys(known) if known else ():
            owners = self._owners[key]
            owners.remove(customer)
            if not owners:
                del self._owners[key]
        self._changed(customer)

    def resolve(self, identities: Iterable[Identity]) -> Customer | None:
        """The customer that the identities mean."""
        owner = self.owner(identities)
        return None if owner is None else self.get(owner)

    def owner(self, identities: Iterable[Identity]) -> str | None:
        """The id of the same customer as he was written, whomever he was merged into."""
        for identity in identities:
            owners = self._owners.get(normalise(identity.scheme, identity.value))
            if owners:
                return owners[0]
        return None

    def explain(self, identities: Iterable[Identity]) -> list[ResolvedIdentity]:
        """What each identity means, in the order in which they decide."""
        found: list[ResolvedIdentity] = []
        for identity in identities:
            key = normalise(identity.scheme, identity.value)
            owners = self._owners.get(key, [])
            chosen = owners[0] if owners else None
            found.append(
                {
                    "scheme": key[0],
                    "value": key[1],
                    "claimed_by": list(owners),
                    "customer": None if chosen is None else self.canonical(chosen),
                }
            )
        return found

    def claims(self, customer: Customer) -> list[tuple[int, str]]:
        """Identities that someone else has too: (place in the customer's list, the other's id)."""
        found: list[tuple[int, str]] = []
        for place, identity in enumerate(customer.identities):
            owners = self._owners.get(normalise(identity.scheme, identity.value), [])
            found.extend((place, other) for other in owners if other != customer.id)
        return found


def _joined(customer: Customer, parts: list[Customer]) -> Customer:
    """One profile: what the customer himself says, gaps filled by the others in order."""
    identities = {normalise(one.scheme, one.value): one for one in customer.identities}
    attributes = dict(customer.attributes)
    never = dict.fromkeys(customer.never_pair)
    for part in parts:
        for one in part.identities:
            identities.setdefault(normalise(one.scheme, one.value), one)
        attributes = {**part.attributes, **attributes}
        never.update(dict.fromkeys(part.never_pair))

    def first(field: str) -> Any:
        values = (getattr(one, field) for one in (customer, *parts))
        return next((value for value in values if value is not None), None)

    return Customer(
        id=customer.id,
        name=first("name"),
        tier=first("tier"),
        language=first("language"),
        identities=tuple(identities.values()),
        attributes=attributes,
        never_pair=tuple(never),
        timezone=first("timezone"),
    )


def _keys(customer: Customer) -> list[Key]:
    return sorted({normalise(item.scheme, item.value) for item in customer.identities})
