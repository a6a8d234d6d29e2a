"""For every mail: never an exception, the best text, bounded time and size."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.channels.connectors.email.markup import safe, to_text
from services.channels.connectors.email.mime import parse_mail
from services.channels.connectors.email.reply import reply_of
from services.channels.connectors.port import Parsed
from tests.mail.checks import check_mail
from tests.mail.cost import cpu_s
from tests.mail.strategies import mails

SLOW = [HealthCheck.too_slow]


@settings(max_examples=250, deadline=None, suppress_health_check=SLOW)
@given(mails)
def test_any_mail_is_read(raw: bytes) -> None:
    check_mail(raw)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read(raw: bytes) -> None:
    check_mail(raw)


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1)
)
def test_the_words_of_a_plain_mail_are_its_text(words: str) -> None:
    head = "From: a@b.example\nContent-Type: text/plain; charset=utf-8\n\n"
    if not words.startswith("\ufeff"):
        assert parse_mail((head + words).encode(), Parsed()).text == words


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "<div>", "<b>", "<li>", "<td>", "<br/>", "<pre>", "<!--x-->"]
        ),
        max_size=12,
    ),
    st.sampled_from(["one", "zwei", "три"]),
)
def test_no_word_of_html_is_lost(tags: list[str], word: str) -> None:
    html = "".join(f"{tag}{word}{number} " for number, tag in enumerate(tags))
    assert to_text(html).split() == [
        each for each in to_text(html).split() if each == "*" or each.startswith(word)
    ]
    assert all(f"{word}{number}" in to_text(html) for number in range(len(tags)))


@pytest.mark.parametrize(
    "piece",
    ["<div", "<!--", "<style>", "<a b='", "&#", "<b style='display:none'>", "> x\n", "<pre>",
     "On 1.1.2020 10:00 a@b.example wrote:\n", "From: a@b\n", "--x\n"],
)  # fmt: skip
def test_a_piece_repeated_costs_its_length(piece: str) -> None:
    def cost(count: int) -> float:
        text = piece * count
        return cpu_s(lambda: (to_text(text), safe(text), reply_of(text)))

    assert cost(8_000) < max(cost(1_000), 0.002) * 8 * 12
