"""Flowed text, and the signs of machines and quotes that few programs leave."""

import pytest

from services.channels.connectors import registry
from services.channels.connectors.email.flowed import unflowed
from services.channels.connectors.email.reply import reply_of
from services.channels.connectors.handling import handle
from services.channels.connectors.port import InboundRequest
from shared.contracts.interactions import Interaction

HEAD = "From: Kim <kim@x.example>\nTo: help@acme.example\nSubject: Bill\nMessage-ID: <1@x>\n"


def read(mail: str) -> Interaction:
    connector = registry.get("email_mime")
    request = InboundRequest("POST", "https://a.example/", (), mail.encode(), 0)
    handled = handle(
        connector, connector.settings(), {}, request, connector_id="m", workspace="w", trial=True
    )
    assert handled.problems == []
    return handled.events[0].interaction


FLOWED = [
    ("one \ntwo\nthree", "one two\nthree"),
    ("one \n\ntwo", "one \n\ntwo"),
    ("> one \n> two\nthree", "> one two\nthree"),
    (">> deep \n> flat", ">> deep \n> flat"),
    (" >not a quote\n From here", ">not a quote\nFrom here"),
    ("end \n-- \nKim", "end \n-- \nKim"),
    ("", ""),
]


@pytest.mark.parametrize(("sent", "read_as"), FLOWED)
def test_paragraphs_are_whole_again(sent: str, read_as: str) -> None:
    assert unflowed(sent) == read_as


def test_a_blank_that_was_added_to_flow_is_taken_off_where_the_mail_says_so() -> None:
    assert unflowed("日本 \n語", delete_space=True) == "日本語"


def test_a_flowed_mail_is_read_so_and_another_is_not() -> None:
    body = "My invoice \nis wrong.\n\n> Old \n> words\n-- \nKim\n"
    kind = "Content-Type: text/plain; charset=utf-8; format="
    flowed = read(f"{HEAD}{kind}Flowed\n\n{body}")
    assert (flowed.text or "").startswith("My invoice is wrong.\n\n> Old words\n")
    assert flowed.reply_text == "My invoice is wrong."
    assert (read(f"{HEAD}{kind}fixed\n\n{body}").text or "").startswith("My invoice \nis wrong.")


MACHINES = [
    "Auto-Submitted: auto-vacation",
    "X-Auto-Reply: yes",
    "X-Autoresponse: 1",
    "X-Responder: vacation",
    "X-Mailer: vacation 1.2",
    "X-Cron-Env: <SHELL=/bin/sh>",
    "Delivered-To: Autoresponder",
]


@pytest.mark.parametrize("header", MACHINES)
def test_a_machine_by_its_headers(header: str) -> None:
    assert read(f"{HEAD}{header}\n\nAway").flags == ["auto_reply"]


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: no",
        "Auto-Submitted: auto-forwarded",
        "X-Auto-Reply: no",
        "X-Mailer: Vacationland Mail",
        "Delivered-To: kim@x.example",
    ],
)
def test_a_person_is_none(header: str) -> None:
    assert read(f"{HEAD}{header}\n\nHello").flags == []


def test_an_attribution_with_marks_of_direction_is_taken_off() -> None:
    said = "\u202bבתאריך יום ב׳, 2 במרץ 2026 ב-9:00 מאת \u202aAcme\u202c\u200f <\u202ahelp@acme.example\u202c\u200f>:\u202c"
    assert reply_of(f"תודה\n\n{said}\n\n> Old\n> words\n") == "תודה"
