"""The subscription at Microsoft Graph by which a mailbox tells of its mail: created and prolonged.

https://learn.microsoft.com/en-us/graph/api/subscription-update
"""

import json
from urllib.parse import quote

from services.channels.connectors import fields
from services.channels.connectors.fetching import linked, payload
from services.channels.connectors.port import DAY_S, Page, Told
from shared.contracts.instants import SECOND_US, format_instant
from shared.fetching.ask import Ask

SUBSCRIPTIONS = "https://graph.microsoft.com/v1.0/subscriptions"
_LASTS_S = 6 * DAY_S
"""Of the seven days at most that Graph grants for mail."""
_JSON = (("Content-Type", "application/json"),)


def renewed(told: Told) -> Page:
    """First the application's subscriptions; then ours, to this address, prolonged, or created
    where there is none (any longer)."""
    found = payload(told)
    if told.ask.method != "GET":
        if told.status == 404:
            return Page(then=_create(told))
        ends = fields.key(found, "expirationDateTime")
        return Page(cursor=ends, lost=None if ends else "Graph does not say when it ends.")
    address = told.ids["inbound_url"]
    ours = (one for one in fields.items(found, "value") if one.get("notificationUrl") == address)
    identity = next((name for one in ours if (name := fields.key(one, "id"))), None)
    if identity is None:
        following = linked(told, fields.text(found, "@odata.nextLink"))
        return Page(then=following or _create(told))
    url = f"{told.ask.url.partition('?')[0]}/{quote(identity, safe='')}"
    return Page(
        then=Ask(url, "PATCH", _JSON, json.dumps({"expirationDateTime": _end(told)}).encode())
    )


def _create(told: Told) -> Ask:
    base = told.ask.url.partition("?")[0].partition("/subscriptions")[0]
    address, mailbox = told.ids["inbound_url"], told.ids["mailbox"]
    body = {
        "changeType": "created",
        "notificationUrl": address,
        "lifecycleNotificationUrl": address,
        "resource": f"/users/{mailbox}/mailFolders('inbox')/messages",
        "expirationDateTime": _end(told),
        "clientState": told.ids["client_state"],
    }
    return Ask(f"{base}/subscriptions", "POST", _JSON, json.dumps(body).encode())


def _end(told: Told) -> str:
    return format_instant(told.at_us + _LASTS_S * SECOND_US)
