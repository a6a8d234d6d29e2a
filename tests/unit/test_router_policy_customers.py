"""Identities find their customer, the same one whatever the order of writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.config import Customer, CustomerIdentity
from services.router.domain.customers import CustomerIndex, normalise
from shared.contracts.interactions import Identity

KIM = Customer("kim", tier="gold", identities=(CustomerIdentity("phone", "+49 151 12345678"),))


@pytest.mark.parametrize(
    ("scheme", "value", "key"),
    [
        ("email", " Kim@Example.ORG ", ("email", "kim@example.org")),
        ("phone", "+49 (151) 1234-5678", ("phone", "+4915112345678")),
        ("phone", "004915112345678", ("phone", "+4915112345678")),
        ("whatsapp", "4915112345678", ("phone", "+4915112345678")),
        ("messenger", " AbC1 ", ("messenger", "AbC1")),
        ("phone", "anonymous", ("phone", "anonymous")),
    ],
)
def test_identities_are_compared_in_one_form(scheme: str, value: str, key: tuple[str, str]):
    assert normalise(scheme, value) == key


def test_a_number_is_known_on_every_channel():
    index = CustomerIndex()
    index.put(KIM)
    assert index.resolve([Identity("whatsapp", "4915112345678")]) == KIM
    assert index.resolve([Identity("email", "x@y"), Identity("phone", "+4915112345678")]) == KIM
    assert index.resolve([Identity("email", "x@y")]) is None
    assert index.resolve([]) is None


def test_a_replaced_or_removed_customer_is_found_no_more():
    index = CustomerIndex()
    index.put(KIM)
    index.put(Customer("kim", identities=(CustomerIdentity("email", "kim@x"),)))
    assert index.resolve([Identity("phone", "+4915112345678")]) is None
    index.remove("kim")
    index.remove("kim")
    assert (len(index), index.get("kim"), index.resolve([Identity("email", "kim@x")])) == (
        0,
        None,
        None,
    )


def test_claims_of_others():
    index = CustomerIndex()
    index.put(KIM)
    assert index.claims(KIM) == []
    twin = Customer("kai", identities=(CustomerIdentity("email", "k@x"), *KIM.identities))
    assert index.claims(twin) == [(1, "kim")]


IDENTITIES = st.lists(
    st.builds(CustomerIdentity, st.just("email"), st.sampled_from("abc")), max_size=3
)
CUSTOMERS = st.lists(
    st.builds(Customer, st.sampled_from(["u", "v", "w"]), identities=IDENTITIES.map(tuple)),
    max_size=5,
    unique_by=lambda customer: customer.id,
)


@settings(deadline=None)
@given(CUSTOMERS, st.randoms(), st.lists(st.sampled_from("abcd"), max_size=3))
def test_the_order_of_writes_does_not_matter(
    customers: list[Customer], order: object, asked: list[str]
):
    one, two = CustomerIndex(), CustomerIndex()
    for customer in customers:
        one.put(customer)
    order.shuffle(customers)  # type: ignore[attr-defined]
    for customer in customers:
        two.put(customer)
        two.put(customer)
    wanted = [Identity("email", value) for value in asked]
    assert one.resolve(wanted) == two.resolve(wanted)
