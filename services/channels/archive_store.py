"""The archive's rows, written in the transaction of the batch that caused them.

Rows of one batch that mean the same record are folded first; then one statement per table upserts
all of them. Every upsert is a merge that does not depend on the order of arrival.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.channels import archive
from shared.contracts.core import Row
from shared.runtime.store.statements import FENCED

Values = dict[str, Any]


async def write_archive(connection: AsyncConnection, rows: Sequence[tuple[str, Row]]) -> None:
    """Writes `Outcome.rows` of archive cores: (workspace, row) in the order of their inputs."""
    given = _by_table(rows)
    for table, statement in _STATEMENTS.items():
        if table in given:
            await connection.exec_driver_sql(statement, (_content(table, given[table]),))
    for workspace, row in given.get(archive.DEAD_LETTERS, ()):
        values = (workspace, *(row.values[name] for name in _LETTER))
        await connection.exec_driver_sql(_DEAD_LETTER, values)


def archive_statements(
    rows: Sequence[tuple[str, Row]],
) -> list[tuple[str, Sequence[Any]]] | None:
    """The same as parts of the batch's one statement. None where two of them would write the same
    table, which one statement cannot."""
    given = _by_table(rows)
    if archive.DEAD_LETTERS in given or given.keys() >= {archive.MESSAGES, archive.EDITS}:
        return None
    return [
        (_FENCED[table], (_content(table, given[table]),))
        for table in _STATEMENTS
        if table in given
    ]


def _by_table(rows: Sequence[tuple[str, Row]]) -> dict[str, list[tuple[str, Row]]]:
    given: dict[str, list[tuple[str, Row]]] = {}
    for each in rows:
        table = each[1].table
        if table in given:
            given[table].append(each)
        else:
            given[table] = [each]
    return given


def _content(table: str, rows: Sequence[tuple[str, Row]]) -> str:
    """The table's rows as JSON. PostgreSQL's text takes no NUL: they are looked through where the
    JSON holds what may be one."""
    content = msgspec.json.encode(_folded(table, rows))
    if _NUL in content:
        clean = [(workspace, Row(table, _clean(row.values))) for workspace, row in rows]
        content = msgspec.json.encode(_folded(table, clean))
    return content.decode()


_KEYS: dict[str, tuple[str, ...]] = {
    archive.CONVERSATIONS: ("conversation_id",),
    archive.MESSAGES: ("message_id",),
    archive.EDITS: ("message_id",),
    archive.DELIVERIES: ("conversation_id", "vendor_message_id", "status"),
    archive.CONVERSATION_AGENTS: ("conversation_id", "agent_id"),
}


def _folded(table: str, rows: Iterable[tuple[str, Row]]) -> list[Values]:
    """One record per primary key, sorted, so that one statement can take them all."""
    merge, key_of = _MERGE.get(table), itemgetter("workspace", *_KEYS[table])
    found: dict[tuple[str, ...], Values] = {}
    for workspace, row in rows:
        values = {"workspace": workspace, **row.values}
        key = key_of(values)
        before = found.get(key)
        found[key] = values if before is None or merge is None else merge(before, values)
    return [found[key] for key in sorted(found)]


_NUL = rb"\u0000"  # as JSON says it; a text may say the same of itself


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "") if "\x00" in value else value
    if isinstance(value, dict):
        return {_clean(name): _clean(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value


def _fold_conversation(before: Values, after: Values) -> Values:
    """Activity from the earliest to the latest; of the rest the later word, where there is one."""
    older, newer = (before, after) if before["at_us"] <= after["at_us"] else (after, before)
    merged = {name: newer[name] if newer[name] else older[name] for name in newer}
    merged["first_us"] = min(before.get("first_us", before["at_us"]), after["at_us"])
    merged["at_us"] = newer["at_us"]
    return merged


def _fold_message(before: Values, after: Values) -> Values:
    return after if after["revision"] >= before["revision"] else before


def _fold_edit(before: Values, after: Values) -> Values:
    newer = after if after["edit_us"] >= before["edit_us"] else before
    return {**newer, "deleted": before["deleted"] or after["deleted"]}


_MERGE = {
    archive.CONVERSATIONS: _fold_conversation,
    archive.MESSAGES: _fold_message,
    archive.EDITS: _fold_edit,
}

_LETTER = (
    "id", "failed_in", "reason", "detail", "at_us", "topic", "connector", "event_id", "body",
)  # fmt: skip
_DEAD_LETTER = """
INSERT INTO channels.dead_letter
  (workspace, id, failed_in, reason, detail, at, topic, connector, event_id, body)
VALUES ($1, $2, $3, $4, $5, 'epoch'::timestamptz + $6::bigint * interval '1 microsecond',
  $7, $8, $9, $10)
ON CONFLICT (workspace, id) DO UPDATE SET
  reason = excluded.reason, detail = excluded.detail, at = excluded.at, replayed_at = NULL
"""


def _instant(name: str) -> str:
    return f"'epoch'::timestamptz + {name} * interval '1 microsecond'"


_STATEMENTS: dict[str, str] = {
    archive.CONVERSATIONS: f"""
INSERT INTO channels.conversation AS held
  (workspace, conversation_id, connector, channel, conversation_key, subject, language,
   customer_name, identities, started_at, last_at, ended_at, ended_reason, feedback)
SELECT workspace, conversation_id, connector, channel, conversation_key, subject, language,
   customer_name, coalesce(identities, '[]'), {_instant("coalesce(first_us, at_us)")},
   {_instant("at_us")}, {_instant("ended_us")}, ended_reason, feedback
FROM jsonb_to_recordset($1::text::jsonb) AS new
  (workspace text, conversation_id text, connector text, channel text, conversation_key text,
   subject text, language text, customer_name text, identities jsonb, first_us bigint, at_us bigint,
   ended_us bigint, ended_reason text, feedback jsonb)
ON CONFLICT (workspace, conversation_id) DO UPDATE SET
  conversation_key = coalesce(held.conversation_key, excluded.conversation_key),
  subject = coalesce(held.subject, excluded.subject),
  language = coalesce(excluded.language, held.language),
  customer_name = coalesce(excluded.customer_name, held.customer_name),
  identities = CASE WHEN excluded.identities = '[]' THEN held.identities ELSE excluded.identities END,
  started_at = least(held.started_at, excluded.started_at),
  last_at = greatest(held.last_at, excluded.last_at),
  ended_at = greatest(held.ended_at, excluded.ended_at),
  ended_reason = coalesce(excluded.ended_reason, held.ended_reason),
  feedback = coalesce(excluded.feedback, held.feedback)
""",
    archive.MESSAGES: f"""
INSERT INTO channels.message AS held
  (workspace, message_id, conversation_id, time, received_at, type, direction, author, text, html,
   reply_text, subject, attachments, flags, language, in_reply_to, segment, agent_id, task_id,
   attributes, revision, vendor_id, no)
SELECT workspace, message_id, conversation_id, {_instant("time_us")}, {_instant("received_us")},
   type, direction, author, text, html, reply_text, subject, attachments, flags, language,
   in_reply_to, segment, agent_id, task_id, attributes, revision, vendor_id,
   nextval('channels.message_no')
FROM (SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS given
  (workspace text, message_id text, conversation_id text, time_us bigint, received_us bigint,
   type text, direction text, author jsonb, text text, html text, reply_text text, subject text,
   attachments jsonb, flags jsonb, language text, in_reply_to text, segment jsonb, agent_id text,
   task_id text, attributes jsonb, revision integer, vendor_id text)
  ORDER BY time_us, message_id) AS new
ON CONFLICT (workspace, message_id) DO UPDATE SET
  conversation_id = excluded.conversation_id, time = excluded.time,
  received_at = excluded.received_at, type = excluded.type, direction = excluded.direction,
  author = excluded.author, text = excluded.text, html = excluded.html,
  reply_text = excluded.reply_text, subject = excluded.subject,
  attachments = excluded.attachments, flags = excluded.flags, language = excluded.language,
  in_reply_to = excluded.in_reply_to, segment = excluded.segment, agent_id = excluded.agent_id,
  task_id = excluded.task_id, attributes = excluded.attributes, revision = excluded.revision,
  vendor_id = excluded.vendor_id, no = coalesce(held.no, excluded.no)
WHERE held.revision IS NULL OR held.revision <= excluded.revision
""",
    archive.EDITS: f"""
INSERT INTO channels.message AS held
  (workspace, message_id, conversation_id, edited_at, edit_text, edit_html, deleted)
SELECT workspace, message_id, conversation_id, {_instant("edit_us")}, edit_text, edit_html, deleted
FROM jsonb_to_recordset($1::text::jsonb) AS new
  (workspace text, message_id text, conversation_id text, edit_us bigint, edit_text text,
   edit_html text, deleted boolean)
ON CONFLICT (workspace, message_id) DO UPDATE SET
  deleted = held.deleted OR excluded.deleted,
  edited_at = excluded.edited_at,
  edit_text = CASE WHEN held.deleted OR excluded.deleted THEN NULL ELSE excluded.edit_text END,
  edit_html = CASE WHEN held.deleted OR excluded.deleted THEN NULL ELSE excluded.edit_html END
WHERE held.edited_at IS NULL OR held.edited_at <= excluded.edited_at OR excluded.deleted
""",
    archive.DELIVERIES: f"""
INSERT INTO channels.message_delivery
  (workspace, conversation_id, vendor_message_id, status, at, error)
SELECT workspace, conversation_id, vendor_message_id, status, {_instant("at_us")}, error
FROM jsonb_to_recordset($1::text::jsonb) AS new
  (workspace text, conversation_id text, vendor_message_id text, status text, at_us bigint,
   error text)
ON CONFLICT (workspace, conversation_id, vendor_message_id, status) DO NOTHING
""",
    archive.CONVERSATION_AGENTS: f"""
INSERT INTO channels.conversation_agent (workspace, conversation_id, agent_id, since)
SELECT workspace, conversation_id, agent_id, {_instant("at_us")}
FROM jsonb_to_recordset($1::text::jsonb) AS new
  (workspace text, conversation_id text, agent_id text, at_us bigint)
ON CONFLICT (workspace, conversation_id, agent_id) DO NOTHING
""",
}

_FENCED = {
    table: statement.replace("ON CONFLICT", f"{FENCED}\nON CONFLICT", 1)
    for table, statement in _STATEMENTS.items()
}
