"""What polled kinds share: an item that was changed before it was first seen."""

import msgspec

from services.channels.connectors.port import Normalised
from services.channels.connectors.reading import moment
from shared.contracts import interactions


def with_edit(event: Normalised, changed: str | None) -> list[Normalised]:
    """The message and, where it was `changed` (the vendor's time of it), its edit.

    A poller may have missed the first words: the message is repeated with the last ones, counts
    once by its id, and so is there for the edit to change.
    """
    if changed is None:
        return [event]
    key = event.message_key or event.vendor_id
    edit = msgspec.structs.replace(
        event,
        vendor_id=f"{event.vendor_id}:{changed}",
        message_key=key,
        type=interactions.MESSAGE_EDITED,
        replaces=key,
        occurred_at_us=moment({"at": changed}, "at") or event.occurred_at_us,
    )
    return [event, edit]
