"""Only addresses on the web are kept as links to files, whoever sends them."""

import msgspec
import pytest

from services.channels.attachments import attachments_of
from services.channels.connectors import registry
from services.channels.connectors.handling import handle
from services.channels.connectors.posting import posted
from services.channels.links import is_link
from services.channels.replies import NewReply, reply_event
from shared.contracts.problems import Refused
from tests.unit.test_channels_events import event, fault_of

AT = 1_772_442_000_000_000
UNSAFE = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "file:///etc/passwd",
    "data:text/html,<script>",
    "ftp://example.org/a",
    "//example.org/a",
    "/a",
    "https://",
    "https://[",
    "",
]


@pytest.mark.parametrize(
    "url", ["https://example.org/a?b=c#d", "http://example.org", "HTTPS://EXAMPLE.ORG"]
)
def test_addresses_on_the_web_are_links(url: str) -> None:
    assert is_link(url)


@pytest.mark.parametrize("url", UNSAFE)
def test_nothing_else_is(url: str) -> None:
    assert not is_link(url)


@pytest.mark.parametrize("url", UNSAFE)
def test_a_posted_event_with_another_address_is_refused_at_its_place(url: str) -> None:
    files = [{"name": "a", "url": "https://example.org/a"}, {"name": "b", "url": url}]
    fault = fault_of(event(data__attachments=files))
    assert (fault.pointer, fault.code) == ("/data/attachments/1/url", "url")


def test_an_agents_reply_with_another_address_is_refused_at_its_place() -> None:
    reply = msgspec.convert({"attachments": [{"url": "javascript:alert(1)"}]}, NewReply)
    with pytest.raises(Refused) as refused:
        reply_event(
            reply, workspace="w", conversation={"conversation_id": "c"}, agent="ana", actor="ana",
            idempotency_key=None, now_us=AT,
        )  # fmt: skip
    assert refused.value.problem().errors[0].pointer == "/attachments/0/url"


def test_a_vendors_message_keeps_its_file_without_the_address() -> None:
    connector = registry.get("standard_webhooks")
    files = [{"name": "a.png", "url": "javascript:alert(1)"}, {"url": "https://example.org/b"}]
    body = {"id": "m", "conversation_key": "c", "text": "See", "attachments": files}
    handled = handle(
        connector, connector.settings(), {}, posted(body, AT), connector_id="m", workspace="w",
        trial=True,
    )  # fmt: skip
    (found,) = handled.events
    kept = [(one.name, one.url) for one in found.interaction.attachments]
    assert kept == [("a.png", None), (None, "https://example.org/b")]
    assert b"javascript" not in found.envelope.data
    assert [(one.code, one.lost) for one in handled.problems] == [("unsafe_link", False)]


def test_what_was_kept_before_is_shown_without_the_address() -> None:
    kept = [{"name": "a", "url": "javascript:alert(1)"}, {"url": "https://example.org/b"}]
    shown = attachments_of({"attachments": kept})
    assert [one["url"] for one in shown] == [None, "https://example.org/b"]
    assert kept[0]["url"], "the archive's row stays as it is"
