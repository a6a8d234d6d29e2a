"""How well mails are read: a table over a folder of sample mails, against what its index asserts.

    python -m tests.mail.report [FOLDER]

The folder holds `index.json` with `files: [{file, kind, expected}]`: of kind `mime` a raw mail, of
kind `reply_body_text` a body with the reply that is visible in it. Where the index asserts neither
subject nor sender, a mail with clean headers is held against the standard library's own reading.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from email.policy import default
from pathlib import Path
from typing import Any

from services.channels.connectors import registry
from services.channels.connectors.email.reply import reply_of
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import InboundRequest
from shared.contracts.interactions import Interaction

FOLDER = Path(__file__).parents[3] / "shared" / "samples" / "emails"


@dataclass(slots=True)
class Measure:
    """What must hold in how many of the mails that say something of it."""

    title: str
    bar: float
    seen: int = 0
    missed: list[str] = field(default_factory=list)

    def check(self, file: str, holds: bool, why: str = "") -> None:
        self.seen += 1
        if not holds:
            self.missed.append(f"{file}: {why}" if why else file)

    @property
    def share(self) -> float:
        return 1 - len(self.missed) / self.seen if self.seen else 1.0

    @property
    def reached(self) -> bool:
        return self.share >= self.bar


def measured(folder: Path) -> dict[str, Measure]:
    """All measures over a folder."""
    table = {
        "crash": Measure("no crash", 1.0),
        "subject": Measure("subject and sender", 0.98),
        "attachments": Measure("attachments", 0.95),
        "lost": Measure("no customer text lost", 1.0),
        "quotes": Measure("quoted text removed", 0.60),
        "flags": Measure("auto-reply and bounce flags", 1.0),
        "other": Measure("other assertions", 0.95),
    }
    for entry in json.loads((folder / "index.json").read_text())["files"]:
        raw = (folder / entry["file"]).read_bytes()
        expected = entry.get("expected") or {}
        if entry["kind"] == "reply_body_text":
            _body(table, entry["file"], raw, expected)
        else:
            _mail(table, entry["file"], raw, expected)
    return table


def _body(table: dict[str, Measure], file: str, raw: bytes, expected: dict[str, Any]) -> None:
    text = raw.decode("utf-8", "replace")
    kept = _words_by_line(reply_of(text))
    mine = _words_by_line(expected["reply_text"])
    quoted = _words_by_line(expected.get("elided_text") or "") - mine
    table["crash"].check(file, True)
    table["lost"].check(file, mine <= kept, " | ".join(sorted(mine - kept))[:200])
    if quoted:
        table["quotes"].check(file, not quoted & kept, " | ".join(sorted(quoted & kept))[:200])


def _words_by_line(text: str) -> set[str]:
    return {" ".join(line.split()) for line in text.splitlines()} - {""}


def _mail(table: dict[str, Measure], file: str, raw: bytes, expected: dict[str, Any]) -> None:
    handled = _handled(raw)
    good = len(handled.events) == 1 and handled.dead_letter is None
    table["crash"].check(file, good, ", ".join(each.code for each in handled.problems))
    if good:
        found = observed(handled.events[0].interaction)
        for name, wanted in (_plain_headers(raw) | expected).items():
            if name in found:
                more = file in _STOPS_AT_ITS_LIMIT and name == "attachments"
                holds = found[name] >= wanted if more else _holds(name, wanted, found[name])
                measure = table[_MEASURES.get(name, "other")]
                measure.check(f"{file} {name}", holds, f"wanted {wanted!r}, got {found[name]!r}")


# Its application takes at most 15 attachments of a mail; there are 30.
_STOPS_AT_ITS_LIMIT = {"chatwoot__multiple_attachments.eml"}
_MEASURES = {
    "subject": "subject", "from": "subject", "attachments": "attachments", "auto_reply": "flags",
    "is_bounce": "flags", "reply_text": "lost", "reply_text_prefix": "lost",
}  # fmt: skip


def _handled(raw: bytes) -> Handled:
    connector = registry.get("email_mime")
    request = InboundRequest("POST", "https://a.example/", (), raw, 0)
    settings = connector.settings()
    return handle(connector, settings, {}, request, connector_id="mail", workspace="report")


def observed(found: Interaction) -> dict[str, Any]:
    """What assertions of the index are compared with, by their names."""
    assert found.email is not None
    bounce = found.email.bounce
    return {
        "subject": found.subject or "",
        "from": next((each.address for each in found.email.sender), ""),
        "to": [each.address for each in found.email.to],
        "attachments": len(found.attachments),
        "auto_reply": "auto_reply" in found.flags,
        "is_bounce": bounce is not None,
        "dsn_status": bounce.status if bounce else None,
        "in_reply_to": found.in_reply_to,
        "references": found.email.references,
        "body_text": (found.text or "").strip(),
        "reply_text": (found.reply_text or "").strip(),
        "reply_text_prefix": found.reply_text or "",
    }


def _holds(name: str, wanted: Any, got: Any) -> bool:
    if name == "reply_text_prefix":
        return got.startswith(wanted)
    if isinstance(wanted, str) and isinstance(got, str):
        return " ".join(wanted.split()) == " ".join(got.split())
    return wanted == got


def _plain_headers(raw: bytes) -> dict[str, Any]:
    """Subject and sender by the standard library, of mails in whose headers it finds no fault."""
    head = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if not head.isascii() or b"\x00" in head:
        return {}
    try:
        message = BytesHeaderParser(policy=default).parsebytes(raw)
        subject, sender = message["subject"], message["from"]
        if subject is None or sender is None or message.defects:
            return {}
        if subject.defects or sender.defects or len(sender.addresses) != 1:
            return {}
        return {"subject": str(subject), "from": sender.addresses[0].addr_spec}
    except (ValueError, LookupError, TypeError, AttributeError, IndexError):
        return {}


def lines(table: dict[str, Measure]) -> Iterator[str]:
    yield f"{'measure':<30}{'mails':>7}{'hold':>7}{'share':>9}{'bar':>7}"
    for each in table.values():
        held = each.seen - len(each.missed)
        mark = "" if each.reached else "  below the bar"
        yield f"{each.title:<30}{each.seen:>7}{held:>7}{each.share:>9.1%}{each.bar:>7.0%}{mark}"
    for each in table.values():
        yield from (f"  {each.title}: {missed}" for missed in each.missed)


def main(arguments: list[str]) -> int:
    """Print the table; the exit code says whether all bars are reached."""
    named = arguments[0] if arguments else os.environ.get("MAILS")
    folder = Path(named) if named else FOLDER
    if not (folder / "index.json").is_file():
        print(
            f"No sample mails: {folder} holds no index.json. Name a folder: make mail-report MAILS=…"
        )
        return 1 if named else 0
    table = measured(folder)
    print("\n".join(lines(table)))
    return 0 if all(each.reached for each in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
