"""The demo's requests are what the vendors' connectors accept, signature included; its workspace
holds what its parts rely on."""

import pytest

from services.channels.connectors import registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest
from services.cli.apply.checks import check_tests
from services.cli.apply.document import read_document
from services.cli.demo import payloads
from services.cli.demo.payloads import Address, Person
from services.cli.demo.show import FILE, SECRETS, SIGNED_WITH
from services.cli.demo.texts import ANSWERS, NAMES, STORIES
from shared.contracts import interactions
from shared.contracts.instants import format_instant, parse_instant

AT_US = parse_instant("2026-11-23T09:00:00Z")
TO = Address("https://omniroute.example/v1/workspaces/demo/connectors/one/inbound", "the-secret")
KIM = Person("4915112345678", "Kim Weber")
LANGUAGES = ("de", "en", "es")


def handled(kind: str, request: InboundRequest, secret: str = TO.secret) -> Handled:
    connector = registry.get(kind)
    name = next(iter(connector.signature.secret_names), None)
    secrets = {name: (secret,)} if name else {}
    return handle(
        connector,
        connector.settings(),
        secrets,
        request,
        connector_id="one",
        workspace="demo",
        languages=LANGUAGES,
    )


CASES = {
    "message": (
        "whatsapp_cloud",
        payloads.whatsapp_message(TO, KIM, "Hallo", wamid="w1", at_us=AT_US),
        interactions.MESSAGE,
    ),
    "edit": (
        "whatsapp_cloud",
        payloads.whatsapp_edit(TO, KIM, "Hallo", wamid="w2", original="w1", at_us=AT_US),
        interactions.MESSAGE_EDITED,
    ),
    "page": (
        "messenger",
        payloads.messenger_message(TO, KIM, "Hallo", mid="m1", at_us=AT_US),
        interactions.MESSAGE,
    ),
    "page edit": (
        "messenger",
        payloads.messenger_edit(TO, KIM, "Hallo", mid="m1", at_us=AT_US),
        interactions.MESSAGE_EDITED,
    ),
    "call": (
        "twilio_transcription",
        payloads.call_said(TO, "CA1", "Hallo", number=2, caller="+4930123456", at_us=AT_US),
        interactions.TRANSCRIPT_SEGMENT,
    ),
    "call ended": (
        "twilio_transcription",
        payloads.call_ended(TO, "CA1", number=3, caller="+4930123456", at_us=AT_US),
        interactions.CONVERSATION_ENDED,
    ),
}


@pytest.mark.parametrize(("kind", "request_", "event"), CASES.values(), ids=CASES.keys())
def test_signed_requests_are_accepted_and_mean_what_they_say(
    kind: str, request_: InboundRequest, event: str
) -> None:
    found = handled(kind, request_)
    assert (found.verdict, found.accepted, found.problems) == ("valid", True, [])
    assert [one.envelope.type for one in found.events] == [event]
    assert found.events[0].envelope.time == format_instant(AT_US)
    if event != interactions.CONVERSATION_ENDED:
        assert found.events[0].interaction.text == "Hallo"
    assert handled(kind, request_, "another").verdict == "invalid"


def test_a_redelivery_has_the_same_event_id_and_an_edit_names_its_message() -> None:
    first, again = (handled("messenger", CASES["page"][1]).events[0] for _ in range(2))
    edit = handled("messenger", CASES["page edit"][1]).events[0]
    assert first.envelope.id == again.envelope.id != edit.envelope.id
    assert first.interaction.message_id == edit.interaction.replaces_message_id


def test_a_mail_carries_subject_thread_and_attachment() -> None:
    request = payloads.mail(
        TO,
        Person("lucia@example.org", "Lucía Gómez"),
        "Año nuevo",
        "Buenos días, necesito mi factura.\n",
        message_id="two@example.org",
        at_us=AT_US,
        recipient="help@demo.example",
        in_reply_to="one@example.org",
        attachment=("a.pdf", b"%PDF"),
    )
    data = handled("email_mime", request).events[0].interaction
    assert (data.subject, data.author.name, data.language) == ("Año nuevo", "Lucía Gómez", "es")
    assert (data.in_reply_to, data.conversation_key) == ("one@example.org", "one@example.org")
    assert [one.name for one in data.attachments] == ["a.pdf"]


def test_the_demo_workspace_is_valid_and_its_tests_pass() -> None:
    document = read_document(FILE)
    assert [one.faults for one in check_tests(document)] == [[]]
    named = {
        reference["env"]
        for connector in document.of("connector")
        for reference in connector.body.get("secrets", {}).values()
    }
    assert named == set(SECRETS)
    assert set(SIGNED_WITH) < {one.id for one in document.of("connector")}


def test_stories_are_recognised_in_their_language() -> None:
    for story in STORIES:
        assert story.language in ANSWERS
        to, at_us = TO, AT_US
        request = payloads.whatsapp_message(to, KIM, story.first, wamid="w", at_us=at_us)
        found = handled("whatsapp_cloud", request).events[0].interaction.language
        assert found == story.language, story.first
    assert len({story.via for story in STORIES[:5]}) == 5 <= len(NAMES)
