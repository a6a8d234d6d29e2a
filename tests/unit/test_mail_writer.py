"""Whose mail it is where From names a form, a list or a machine."""

import pytest

from services.channels.connectors import registry
from services.channels.connectors.handling import handle
from services.channels.connectors.port import InboundRequest
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Interaction

AT = parse_instant("2026-03-02T09:20:00Z")


def mail(*headers: str, **settings: object) -> Interaction:
    connector = registry.get("email_mime")
    lines = [*headers, "Message-ID: <1@x.example>", "Content-Type: text/plain", "", "Where is it?"]
    handled = handle(
        connector,
        connector.settings.model_validate(settings),
        {},
        InboundRequest("POST", "", (), "\r\n".join(lines).encode(), AT),
        connector_id="mail",
        workspace="acme",
        trial=True,
    )
    return handled.events[0].interaction


def person(found: Interaction) -> tuple[str | None, str | None, str]:
    assert [each.scheme for each in found.identities] == ["email"]
    return found.author.name, found.author.id, found.identities[0].value


KIM = ("Kim", "kim@example.org", "kim@example.org")


@pytest.mark.parametrize(
    "sender",
    [
        "noreply@site.example",
        "Shop <no-reply@site.example>",
        "wordpress@site.example",
        "Form <do-not-reply+7@site.example>",
        "help@shop.example",
    ],
)
def test_who_fills_in_a_form_is_the_one_to_answer(sender: str) -> None:
    found = mail(f"From: {sender}", "To: help@shop.example", "Reply-To: Kim <kim@example.org>")
    assert person(found) == KIM and found.flags == []
    assert found.email is not None and found.email.sender[0].address == sender.rpartition("<")[
        2
    ].strip(">")


@pytest.mark.parametrize(
    "more",
    [
        ["X-Original-From: Kim <kim@example.org>", "Mailing-List: list support@shop.example"],
        ["X-Original-Sender: kim@example.org", "List-Id: <support.shop.example>"],
        ["Reply-To: kim@example.org", "List-Post: <mailto:support@shop.example>"],
    ],
)
def test_who_writes_to_a_list_that_puts_its_own_address_into_from(more: list[str]) -> None:
    sender = "From: 'Kim' via Support <support@shop.example>"
    assert person(mail(sender, "To: support@shop.example", *more)) == KIM
    again = mail(sender, "To: support@shop.example", "In-Reply-To: <0@shop.example>", *more)
    assert person(again) == KIM


@pytest.mark.parametrize(
    "headers",
    [
        ["From: Kim <kim@example.org>", "Reply-To: office@firm.example"],
        ["From: Kim <kim@example.org>", "Reply-To: other@example.org", "In-Reply-To: <0@x>"],
        ["From: Kim <kim@example.org>", "X-Original-Sender: list@lists.example"],
        ["From: Kim <kim@example.org>", "List-Id: <l>", "Reply-To: l@lists.example"],
    ],
)
def test_a_persons_from_counts_whatever_else_is_named(headers: list[str]) -> None:
    assert person(mail(*headers, "To: help@shop.example")) == KIM


def test_a_machine_that_names_nobody_else_is_itself() -> None:
    found = mail("From: noreply@bank.example", "Reply-To: no-reply@bank.example")
    assert found.author.id == "noreply@bank.example"
    own = ["From: noreply@bank.example", "To: help@shop.example", "Reply-To: help@shop.example"]
    assert mail(*own, addresses=["help@shop.example"]).author.id == "noreply@bank.example"
