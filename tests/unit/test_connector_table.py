"""The README lists exactly the kinds that are registered, which the conformance suite runs over."""

from services.channels.connectors import registry
from services.channels.connectors.table import README, table, updated


def test_the_readme_is_current() -> None:
    text = README.read_text("utf-8")
    assert text == updated(text), "run `make connectors`"


def test_every_kind_has_a_row() -> None:
    shown = table()
    assert all(f"| `{kind}` |" in shown for kind in registry.load())
