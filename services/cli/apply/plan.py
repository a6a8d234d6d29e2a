"""What applying a file would change, and changing it."""

import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal

import msgspec

from services.cli.apply import kinds
from services.cli.apply.client import Api
from services.cli.apply.document import Document, Entry
from shared.contracts.problems import Fault, Refused

Verb = Literal["create", "update", "keep"]


class Change(msgspec.Struct, frozen=True):
    """`fields` are the top-level fields that differ; `held` names a connector's secrets that the
    service holds."""

    verb: Verb
    entry: Entry
    fields: list[str] = []
    held: list[str] = []

    @property
    def title(self) -> str:
        return f"{self.entry.kind} {self.entry.id}"


class Done(msgspec.Struct, frozen=True):
    change: Change
    warnings: list[str]


async def plan(
    api: Api, document: Document, secrets: Mapping[str, str] = os.environ
) -> list[Change]:
    """Compares the file with what the services hold. Changes nothing. Raises Refused, OSError."""
    current = await api.get("platform", "")
    head = Entry("workspace", document.workspace, document.settings, document.settings, "")
    changes = [_change(head, current and kinds.shown("workspace", current))]
    if current is None:
        return changes + [Change("create", entry) for entry in document.entries]
    for entry in document.entries:
        found = await api.get(kinds.service(entry.kind), kinds.path(entry.kind, entry.id))
        held = _held(entry, found)
        wanted = _expected(entry, secrets, held)
        change = _change(wanted, found and kinds.shown(entry.kind, found))
        changes.append(msgspec.structs.replace(change, held=held))
    return changes


def _held(entry: Entry, found: Mapping[str, Any] | None) -> list[str]:
    """Secrets that a PUT without secrets keeps: those of a connector of the same kind."""
    if entry.kind != "connector" or found is None or found["kind"] != entry.body.get("kind"):
        return []
    return list(found["secrets"])


def _expected(entry: Entry, secrets: Mapping[str, str], held: list[str]) -> Entry:
    """The entry as a service would show it: of its secrets, the names of those that are set."""
    if entry.kind != "connector":
        return entry
    body, _ = _with_secrets(entry, secrets, held)
    given = sorted(body["secrets"]) if "secrets" in body else held
    return msgspec.structs.replace(entry, canonical={**entry.canonical, "secrets": given})


def _change(entry: Entry, current: Mapping[str, Any] | None) -> Change:
    if current is None:
        return Change("create", entry)
    names = sorted({*current, *entry.canonical})
    differing = [name for name in names if current.get(name) != entry.canonical.get(name)]
    return Change("update" if differing else "keep", entry, differing)


async def carry_out(
    api: Api, changes: list[Change], secrets: Mapping[str, str] = os.environ
) -> AsyncGenerator[Done]:
    """Change by change, in order; `secrets` holds what connectors refer to.

    Doubts about what the same file brings (a team's supervisor, who comes after it) are none.
    Connectors with secrets are always sent: a service shows no secret that could be compared.
    Raises Refused naming the entry's place in the file, OSError.
    """
    names = {change.entry.id for change in changes}
    for change in changes:
        if change.verb == "keep" and not change.entry.body.get("secrets"):
            continue
        entry = change.entry
        body, missing = _with_secrets(entry, secrets, change.held)
        try:
            answer = await api.call(
                kinds.service(entry.kind), "PUT", kinds.path(entry.kind, entry.id), body
            )
        except Refused as refused:
            raise placed(refused, entry) from refused
        doubts = [
            f"{entry.pointer}{one['pointer']}: {one['message']}"
            for one in answer.get("warnings", [])
            if _value_at(entry.body, one["pointer"]) not in names
        ]
        rest = "; the secrets held stay" if change.held and "secrets" not in body else ""
        unset = [
            f"{entry.pointer}/secrets: {name} is not set in the environment{rest}"
            for name in missing
        ]
        yield Done(change, entry.warnings + doubts + unset)


def _value_at(body: Any, pointer: str) -> Any:
    """The text at a JSON pointer; None where there is none."""
    for part in pointer.split("/")[1:]:
        inside = body.get(part) if isinstance(body, dict) else None
        listed = isinstance(body, list) and part.isdecimal() and int(part) < len(body)
        body = body[int(part)] if listed else inside
    return body if isinstance(body, str) else None


def placed(refused: Refused, entry: Entry) -> Refused:
    """What was refused of an entry, with its places in the file."""
    errors = [
        msgspec.structs.replace(fault, pointer=entry.pointer + fault.pointer)
        for fault in refused.errors
    ]
    detail = f"{entry.kind} {entry.id}: {refused.detail}"
    return Refused(refused.kind, detail, errors=errors, reason=refused.reason)


def _with_secrets(
    entry: Entry, values: Mapping[str, str], held: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """The body with the values of its secrets, and the variables that are not set.

    A secret is never in the file: it names a variable, or a list of them during a rotation. Where
    none is set the body has no secrets, and those `held` stay. Where only some are, a secret in use
    would be taken away: that is refused.
    """
    if entry.kind != "connector" or "secrets" not in entry.body:
        return entry.body, []
    missing: list[str] = []
    found: dict[str, list[str]] = {}
    for name, reference in entry.body["secrets"].items():
        several = reference if isinstance(reference, list) else [reference]
        for one in several:
            variable = one["env"]
            if value := values.get(variable):
                found.setdefault(name, []).append(value)
            else:
                missing.append(variable)
    if held and missing and not found:
        return {name: one for name, one in entry.body.items() if name != "secrets"}, missing
    _refuse_loss(
        entry, [name for name in entry.body["secrets"] if name in held and name not in found]
    )
    return {**entry.body, "secrets": found}, missing


def _refuse_loss(entry: Entry, lost: list[str]) -> None:
    if lost:
        message = f"connector {entry.id}: without its variable the secret {lost[0]}, in use, would be lost"
        places = [f"{entry.pointer}/secrets/{name}" for name in lost]
        expected = "the variable set, or the secret taken out of the file"
        faults = [Fault(place, "secret", message, expected) for place in places]
        raise Refused("validation", message, errors=faults)
