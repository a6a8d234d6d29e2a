"""What Slack posts as a form: slash commands, and what people press in an app's messages.

https://docs.slack.dev/interactivity/implementing-slash-commands
https://docs.slack.dev/reference/interaction-payloads
"""

from collections.abc import Collection
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.identities import identities
from services.channels.connectors.port import InboundRequest, Normalised, Parsed
from services.channels.connectors.reading import digest_of, given, moment
from services.channels.connectors.signatures import form_of
from shared.contracts.interactions import Author

INTERACTIONS = frozenset((
    "block_actions", "interactive_message", "block_suggestion", "dialog_submission",
    "dialog_cancellation", "dialog_suggestion", "message_action", "shortcut", "view_submission",
    "view_closed", "workflow_step_edit",
))  # fmt: skip
Others = Collection[str | None]


def read_form(request: InboundRequest, ours: Others, parsed: Parsed) -> None:
    """Append what a form means: a command with words, or a choice in a message, is what a customer
    says; all else is only answered. `ours` are the users who are no customers."""
    form = {name: fields.clean(value) for name, value in reversed(form_of(request.body) or [])}
    if "payload" in form:
        told = fields.decode_json(form["payload"].encode("utf-8", "replace"), parsed)
        read_interaction(fields.obj({"told": told}, "told"), ours, parsed)
    elif fields.text(form, "command"):
        _command(form, ours, parsed)
    elif "ssl_check" in form:
        parsed.note("verification", "Slack tests the address.")
    else:
        parsed.lose("unusable_payload", "The form is neither a command nor an interaction.")


def _command(form: dict[str, str], ours: Others, parsed: Parsed) -> None:
    name, text = form["command"], form.get("text", "").strip()
    user, channel = fields.key(form, "user_id"), fields.key(form, "channel_id")
    if not text or user in ours:
        parsed.note(
            "not_an_interaction", f"The command {name[:64]!r} says nothing of a customer's."
        )
        return
    if user is None or channel is None:
        parsed.lose("missing_sender", "A command has no user or no channel.")
        return
    team = fields.key(form, "team_id")
    direct = channel.startswith("D")
    place = [team, channel] if direct else [team, channel, "command", user]
    own = fields.key(form, "trigger_id") or digest_of(team, channel, user, name, text)
    event = Normalised(
        vendor_id=f"command:{own}",
        conversation_key=":".join(part for part in place if part),
        author=Author("customer", fields.text(form, "user_name"), user),
        identities=identities(slack=user),
        text=text,
        attributes={"command": name[:256]},
        vendor=given(form, "team_id", "api_app_id", "trigger_id", "command")
        | fields.known(channel=channel, user=user),
    )
    parsed.events.append(event)


def read_interaction(told: dict[str, Any], ours: Others, parsed: Parsed) -> None:
    """Append what is chosen in a message. An app in Socket Mode is told the same without a form."""
    kind = fields.text(told, "type") or "?"
    user, channel = fields.key(told, "user", "id"), fields.key(told, "channel", "id")
    channel = channel or fields.key(told, "container", "channel_id")
    ts = fields.key(told, "message", "ts") or fields.key(told, "message_ts")
    ts = ts or fields.key(told, "container", "message_ts")
    in_message = kind in ("block_actions", "interactive_message") and ts and channel
    chosen = [(each, said) for each in fields.items(told, "actions") if (said := _chosen(each))]
    if parsed.problems:
        return
    if not in_message or user is None or user in ours or not chosen:
        parsed.note("not_an_interaction", f"The interaction {kind[:64]!r} is no message.")
        return
    thread = fields.key(told, "message", "thread_ts") or fields.key(told, "container", "thread_ts")
    thread = thread or (None if str(channel).startswith("D") else ts)
    team = fields.key(told, "team", "id") or fields.key(told, "user", "team_id")
    name = fields.text(told, "user", "name") or fields.text(told, "user", "username")
    for action, said in chosen:
        at = fields.key(action, "action_ts") or fields.key(told, "action_ts") or ""
        what = fields.key(action, "action_id") or fields.key(action, "name") or ""
        event = Normalised(
            vendor_id=f"action:{channel}:{ts}:{user}:{what}:{at}",
            conversation_key=":".join(part for part in (team, channel, thread) if part),
            occurred_at_us=moment({"at": at}, "at"),
            author=Author("customer", name, user),
            identities=identities(slack=user),
            text=said,
            in_reply_to=ts,
            attributes={"button": fields.known(id=what, value=_value(action))},
            vendor=fields.known(channel=channel, user=user, team_id=team, ts=at, thread_ts=thread),
        )
        parsed.events.append(event)


def _chosen(action: dict[str, Any]) -> str | None:
    """The words of a button, of the options chosen, or what was written into a field."""
    options = [*fields.items(action, "selected_option"), *fields.items(action, "selected_options")]
    shown = [fields.text(each, "text", "text") or fields.text(each, "value") for each in options]
    label = fields.text(action, "text", "text") if fields.text(action, "type") == "button" else None
    dates = ("selected_date", "selected_time", "selected_date_time")
    picked = next((said for name in dates if (said := fields.text(action, name))), None)
    return ", ".join(each for each in shown if each) or label or picked or _value(action)


def _value(action: dict[str, Any]) -> str | None:
    return fields.text(action, "value")
