"""Query parameters that a call does not have are refused, with those that it has."""

from types import SimpleNamespace

import pytest

from shared.contracts.problems import Refused
from shared.http.query import check_query


def query_of(text, *known):
    """check_query, for a call that takes these parameters."""
    route = SimpleNamespace(query_names=frozenset(known))
    check_query({"query_string": text.encode("latin-1"), "route": route})


@pytest.mark.parametrize(
    "text",
    ["", "state=a&state=b", "state=&&limit=5&", "&", "st%61te=x", "_=1700000000", "limit"],
)
def test_parameters_that_are_known_pass(text):
    query_of(text, "state", "limit", "from")


@pytest.mark.parametrize(
    ("text", "pointer", "first"),
    [
        ("stauts=x", "/query/stauts", "state"),
        ("limit=5&Limit=7", "/query/Limit", "limit"),
        ("st%61tes=x", "/query/states", "state"),
        ("fr=x", "/query/fr", "from"),
        ("a/b=1", "/query/a~1b", None),
        ("=1", "/query/", None),
        ("x" * 500, "/query/" + "x" * 64, None),
        ("%F0%9F%8E%89=1", "/query/🎉", None),
    ],
)
def test_others_are_refused_with_the_nearest_first(text, pointer, first):
    with pytest.raises(Refused) as caught:
        query_of(text, "state", "limit", "from")
    (fault,) = caught.value.errors
    assert (fault.pointer, fault.code) == (pointer, "unknown_parameter")
    assert set(fault.expected.split(", ")) == {"state", "limit", "from"}
    assert first is None or fault.expected.startswith(first)


def test_a_call_without_parameters_says_so_and_many_faults_are_bounded():
    with pytest.raises(Refused) as caught:
        query_of("&".join(f"p{n}=1" for n in range(500)))
    assert len(caught.value.errors) == 10
    assert caught.value.errors[0].expected == "no query parameters"
    assert "this call takes none" in caught.value.detail


def test_a_nul_is_told_before_all():
    with pytest.raises(Refused) as caught:
        query_of("stauts=%00", "state")
    assert caught.value.errors[0].code == "nul"
