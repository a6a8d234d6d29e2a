"""Who a customer is: identities of every channel resolved to one customer."""

from collections.abc import Iterable

from services.router.domain.config import Customer
from shared.contracts.interactions import Identity

Key = tuple[str, str]

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

    def __len__(self) -> int:
        return len(self._customers)

    def get(self, customer: str) -> Customer | None:
        return self._customers.get(customer)

    def put(self, customer: Customer) -> None:
        """Adds or replaces a customer."""
        self.remove(customer.id)
        self._customers[customer.id] = customer
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

    def resolve(self, identities: Iterable[Identity]) -> Customer | None:
        """The customer that the identities mean."""
        for identity in identities:
            owners = self._owners.get(normalise(identity.scheme, identity.value))
            if owners:
                return self._customers[owners[0]]
        return None

    def claims(self, customer: Customer) -> list[tuple[int, str]]:
        """Identities that someone else has too: (place in the customer's list, the other's id)."""
        found: list[tuple[int, str]] = []
        for place, identity in enumerate(customer.identities):
            owners = self._owners.get(normalise(identity.scheme, identity.value), [])
            found.extend((place, other) for other in owners if other != customer.id)
        return found


def _keys(customer: Customer) -> list[Key]:
    return sorted({normalise(item.scheme, item.value) for item in customer.identities})
