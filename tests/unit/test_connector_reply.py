"""The visible reply of a mail: quotes and signatures go, no word of the customer is ever lost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.channels.connectors.email.reply import reply_of

QUOTE = "> Where is my parcel?\n> Kim\n"

TOP_POSTED = {
    "english": "On Mon, 2 Mar 2026 at 10:00, Acme <help@acme.example> wrote:",
    "english, wrapped": "On Mon, 2 Mar 2026 at 10:00, A Very Long Name Indeed <\nhelp@acme.example> wrote:",
    "german": "Am 02.03.2026 um 10:00 schrieb Acme <help@acme.example>:",
    "french": "Le 2 mars 2026 à 10:00, Acme <help@acme.example> a écrit :",
    "spanish": "El lun, 2 mar 2026 a las 10:00, Acme (<help@acme.example>) escribió:",
    "italian": "Il giorno lun 2 mar 2026 alle ore 10:00 Acme <help@acme.example> ha scritto:",
    "dutch": "Op ma 2 mrt. 2026 om 10:00 schreef Acme <help@acme.example>:",
    "portuguese": "Em seg., 2 de mar. de 2026 às 10:00, Acme <help@acme.example> escreveu:",
    "polish": "pon., 2 mar 2026 o 10:00 Acme <help@acme.example> napisał(a):",
    "russian": "2 марта 2026 г. 10:00 пользователь Acme <help@acme.example> написал:",
    "ukrainian": "2 бер. 2026 р. 10:00 Acme <help@acme.example> пише:",
    "swedish": "Den mån 2 mars 2026 kl 10:00 skrev Acme <help@acme.example>:",
    "danish": "Den man. 2. mar. 2026 kl. 10.00 skrev Acme <help@acme.example>:",
    "chinese": "在 2026年3月2日，上午10:00，Acme <help@acme.example> 写道：",
    "gmail's short form": "2026-03-02 10:00 GMT+01:00 Acme <help@acme.example>:",
}


@pytest.mark.parametrize("line", TOP_POSTED.values(), ids=TOP_POSTED)
def test_an_attribution_and_its_quote_go(line: str) -> None:
    assert reply_of(f"It arrived, thanks!\n\n{line}\n\n{QUOTE}") == "It arrived, thanks!"


@pytest.mark.parametrize("line", TOP_POSTED.values(), ids=TOP_POSTED)
def test_history_without_marks_goes_too(line: str) -> None:
    assert reply_of(f"It arrived.\n\n{line}\n\nWhere is it?\n\nKim\n") == "It arrived."


SEPARATORS = {
    "outlook": "-----Original Message-----\nFrom: Acme\nSent: Monday\nTo: Kim\nSubject: Parcel",
    "outlook, german": "-----Ursprüngliche Nachricht-----\nVon: Acme\nGesendet: Montag\nAn: Kim",
    "a rule and headers": "________________________________\nFrom: Acme\nSent: Monday\nTo: Kim\n",
    "bold headers": "*From:* Acme <help@acme.example>\n*Sent:* Monday\n*To:* Kim\n*Subject:* Parcel",
    "french headers": "De : Acme\nEnvoyé : lundi\nÀ : Kim\nObjet : Colis",
    "gmail forward": "---------- Forwarded message ---------\nFrom: Acme\nDate: Monday\nSubject: x",
    "apple forward": "Begin forwarded message:\n\nFrom: Acme\nSubject: x\nDate: Monday\nTo: Kim",
    "zoho": "---- On Mon, 02 Mar 2026 10:00:00 +0100 Acme <help@acme.example> wrote ----",
}


@pytest.mark.parametrize("block", SEPARATORS.values(), ids=SEPARATORS)
def test_a_separator_ends_the_reply(block: str) -> None:
    assert reply_of(f"See below.\n\n{block}\n\nOld text\n") == "See below."


@pytest.mark.parametrize(
    "tail",
    ["-- \nKim Example\nExample Ltd", "--\nKim", "Sent from my iPhone", "Von meinem iPhone gesendet",
     "Envoyé de mon iPhone", "Get Outlook for iOS<https://aka.ms/x>"],
)  # fmt: skip
def test_signatures_go(tail: str) -> None:
    assert reply_of(f"Thank you.\n\n{tail}\n") == "Thank you."
    assert reply_of(f"Thank you.\n\n{tail}\n\nOn 2.3.2026 10:00 a@b.example wrote:\n{QUOTE}") == (
        "Thank you."
    )


def test_answers_between_quotes_keep_the_quotes() -> None:
    mail = f"{QUOTE}\nIt has arrived.\n\n> And the invoice?\n\nThat too."
    assert reply_of(mail) == mail


def test_an_answer_below_the_quote_is_the_reply() -> None:
    mail = f"On 2.3.2026 10:00, Acme <help@acme.example> wrote:\n{QUOTE}\nIt has arrived.\n"
    assert reply_of(mail) == "It has arrived."


@pytest.mark.parametrize(
    "text",
    [
        "Yesterday I wrote:\nplease cancel my order.\nNobody answered.",
        "Am 12.03.2026 um 10:00 schrieb ich Ihnen:\nBitte kündigen Sie.\nBis heute nichts.",
        "On 12 March 2026 at 10:00 I wrote:\nplease cancel.\nNothing happened.",
        "Your colleague wrote in 2025:\nthat I may return it.\nIs that so?",
        "From: the shop in Berlin\nI bought a lamp.",
        "My address:\nKim\nMain Street 1\n-----\nThank you!",
        "Note:\n______\nfirst\nsecond\n",
        "> only a quote",
        "--\nKim",
        "Order list --- original packaging --- please",
        "I wrote to support@acme.example: no answer since 2026!",
    ],
)
def test_what_only_looks_like_history_stays(text: str) -> None:
    assert reply_of(text).split() == text.split()


def test_several_attributions_in_a_row_take_no_customer_line() -> None:
    mail = (
        "Mine\nOn 1.1.2026 10:00 a@b.example wrote:\nOn 2.1.2026 10:00 c@d.example wrote:\n"
        "> old\n\nMine too"
    )
    kept = reply_of(mail)
    assert "Mine" in kept.splitlines() and "Mine too" in kept


@given(st.text(max_size=300))
def test_any_text_gives_a_reply_out_of_it(text: str) -> None:
    reply = reply_of(text)
    assert bool(reply.strip()) == bool(text.strip())
    assert set(reply.replace("\n", "")) <= set(text)


@given(st.lists(st.sampled_from(["plain words", "more words", "> quoted", ""]), max_size=12))
def test_unquoted_lines_are_never_lost_without_history(lines: list[str]) -> None:
    kept = reply_of("\n".join(lines)).splitlines()
    wanted = [line for line in lines if line and not line.startswith(">")]
    assert [line for line in kept if line in ("plain words", "more words")] == wanted


@pytest.mark.parametrize(
    "line",
    ["On 1.1.2020 12:00 a@b.example wrote:", "From: x\nTo: y", "-" * 399, "--- " * 99, "> x\n--",
     " " * 390 + "x:", "sent from " * 19 + "x!", "On a wrote: " * 30],
)  # fmt: skip
def test_cost_grows_with_length_only(line: str) -> None:
    """A pattern of quadratic cost would take minutes here."""

    def cost(count: int) -> float:
        text = f"{line}\n" * count
        started = time.process_time()
        reply_of(text)
        return time.process_time() - started

    small = max(min(cost(200) for _ in range(3)), 1e-4)
    assert cost(1600) < small * 8 * 12
