"""Whether a mail was written by a machine: bounce, automatic reply, list, do-not-answer, own loop.

RFC 3834 (Auto-Submitted), RFC 3464 (delivery status), RFC 2369 and 2919 (lists).
"""

import re
from collections.abc import Iterable

import msgspec

from services.channels.connectors.email import encodings
from services.channels.connectors.email.headers import Headers, message_ids, readable
from services.channels.connectors.email.structure import Part
from shared.contracts.interactions import Address, Bounce, Flag

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_RECIPIENT = re.compile(r"<?([^\s<>;:,]{1,128}@[^\s<>;:,]{1,255})>?")
_DAEMON = re.compile(
    r"(?i)\A(?:mailer-daemon|postmaster|mail-daemon|mdaemon|bounce[sd]?|microsoftexchange[0-9a-f]{8,})\b"
)
_FAILED = re.compile(
    r"(?i)undeliver|delivery (?:status|failure|problem|report|has failed|incomplete)|mail delivery"
    r"|mail (?:system error|returned)|returned mail|failure (?:notice|delivery)|failed delivery"
    r"|non.?delivery|delivery.{0,20}delayed|could not be delivered|message not delivered"
    r"|unzustellbar|nicht zugestellt|zustellung|non remis|non distribu|échec de (?:la )?remise"
    r"|no se (?:ha )?pud|no entregado|mancata consegna|non recapitabile|onbestelbaar|niet bezorgd"
    r"|não (?:foi )?entregue|kan ikke leveres|kunde inte levereras|niedostarczon|zwrot poczty"
    r"|не (?:удалось|может быть) достав|недоставлен|teslim edilemedi|退信|无法传递|無法傳遞|配信不能|반송"
)
# How programs that write no report begin: qmail, exim, sendmail, and those who copied them.
_NOTICE = re.compile(
    r"(?i)\A\s*(?:hi\. this is the .{0,60}(?:qmail-send|deliver program)|this message was created"
    r" automatically by (?:the )?mail delivery software|this is the mail system at host"
    r"|the original message was received at|your message cannot be delivered)"
)


class Report(msgspec.Struct):
    """The machine-readable parts of a multipart/report (or of what looks like one)."""

    kind: str = ""
    status: str | None = None
    action: str | None = None
    recipient: str | None = None
    message_id: str | None = None


def read_report(root: Part) -> Report | None:
    """The report in a mail, None when it carries none. A gateway may have put it into a mixed mail,
    with its own words around."""
    found = _report_part(root)
    if found is None:
        return None
    report = Report(kind=found.parameters.get("report-type", "").lower())
    for part in found.children[:MAX_PARTS]:
        _read_part(part, report)
    return report


MAX_PARTS = 40


def _report_part(root: Part) -> Part | None:
    if root.kind == "multipart/report":
        return root
    if any(each.kind in _STATUS_KINDS for each in root.children):
        return root
    return next((each for each in root.children if each.kind == "multipart/report"), None)


_STATUS_KINDS = ("message/delivery-status", "message/global-delivery-status")


def _read_part(part: Part, report: Report) -> None:
    if part.kind in _STATUS_KINDS:
        report.kind = report.kind or "delivery-status"
        _read_status(source_of(part), report)
    elif part.kind == "message/disposition-notification":
        report.kind = report.kind or "disposition-notification"
        report.message_id = _field(source_of(part), "Original-Message-ID") or report.message_id
    elif part.kind in ("message/rfc822", "message/rfc822-headers", "text/rfc822-headers"):
        report.message_id = report.message_id or _field(source_of(part), "Message-ID")


def _read_status(text: str, report: Report) -> None:
    """The first recipient that failed, else the first of all."""
    blocks = [block for block in re.split(r"\n[ \t]*\n", text) if _field(block, "Action")]
    blocks.sort(key=lambda block: (_field(block, "Action") or "").lower() != "failed")
    block = blocks[0] if blocks else text
    report.action = (_field(block, "Action") or "").lower() or None
    found = _STATUS.search(_field(block, "Status") or "")
    found = found or _STATUS.search(_field(block, "Diagnostic-Code") or "")
    report.status = found[1] if found else None
    whom = _field(block, "Final-Recipient") or _field(block, "Original-Recipient") or ""
    report.recipient = _recipient(whom)


def _recipient(text: str) -> str | None:
    found = _RECIPIENT.search(text.rpartition(";")[2])
    return found[1] if found else None


def _field(text: str, name: str) -> str | None:
    """A header-like field of some text, without brackets when it is a message id."""
    found = re.search(rf"(?im)^{name}[ \t]*:[ \t]*([^\n]*(?:\n[ \t]+[^\n]*)*)", text)
    if not found:
        return None
    value = " ".join(found[1].split())
    if name.lower().endswith("message-id"):
        return next(iter(message_ids(value)), None)
    return value or None


def source_of(part: Part, limit: int = 100_000) -> str:
    """The text of a part that holds headers."""
    name = encodings.encoding(part.field("content-transfer-encoding"))
    raw = encodings.decoded(part.body[:limit], name, text=True)
    return readable_lines(raw)


def readable_lines(raw: bytes) -> str:
    """Lines of headers as text, whatever they are in."""
    return "\n".join(readable(line) for line in raw.splitlines())


def bounce_of(
    headers: Headers, senders: Iterable[Address], report: Report | None, text: str
) -> Bounce | None:
    """What a bounce says; None when the mail is none. A notice of success is none."""
    if report is not None and report.kind in ("delivery-status", ""):
        if report.action in ("delivered", "relayed", "expanded"):
            return None
        seen = _bounce_by_text(headers, senders, text)
        return Bounce(
            report.status or seen.status,
            report.recipient or seen.recipient,
            report.message_id or seen.message_id,
        )
    failed = headers.raw("x-failed-recipients")
    daemon = any(_DAEMON.match(sender.address) for sender in senders)
    if failed or (daemon and (_null_path(headers) or _tells_failure(headers, text))):
        return _bounce_by_text(headers, senders, text)
    return None


def _null_path(headers: Headers) -> bool:
    """The empty return path of RFC 5321: nobody is to answer, above all no machine."""
    return re.sub(r"\s", "", headers.raw("return-path")) == "<>"


def _tells_failure(headers: Headers, text: str) -> bool:
    return bool(_FAILED.search(headers.text("subject")) or _NOTICE.match(text))


def _bounce_by_text(headers: Headers, senders: Iterable[Address], text: str) -> Bounce:
    """What the words of a bounce tell, where no report does."""
    status = _STATUS.search(text[:20_000])
    failed = _recipient(headers.raw("x-failed-recipients"))
    recipient = failed or _recipient_in(text[:20_000], senders)
    original = _field(text[:50_000], "Message-ID")
    return Bounce(status[1] if status else None, recipient, original)


def _recipient_in(text: str, senders: Iterable[Address]) -> str | None:
    own = {sender.address.lower() for sender in senders}
    found = (match[1] for match in _RECIPIENT.finditer(text))
    return next((each for each in found if each.lower() not in own), None)


def reported_ids(report: Report | None, bounce: Bounce | None) -> list[str]:
    """The Message-IDs that a bounce or a receipt is about."""
    found = (each.message_id for each in (report, bounce) if each is not None)
    return list(dict.fromkeys(each for each in found if each))


# Of RFC 3834's header: a person's mail, or one that a person's rule passed on. Whatever else it holds
# is a machine's, as section 5 of the RFC asks of words yet unknown.
_PERSONS = ("", "no", "auto-forwarded")
# Whatever they hold, but for a plain "no": what autoresponders write beside or before RFC 3834.
_AUTO_HEADERS = (
    "x-autoreply",
    "x-auto-reply",
    "x-autoresponse",
    "x-responder",
    "x-cron-env",
    "x-autorespond",
    "x-autoresponder",
    "x-auto-reply-from",
    "x-autoreply-from",
    "x-autoreply-domain",
    "x-mail-autoreply",
    "x-mailautoreply",
    "x-vacation",
    "x-fc-machinegenerated",
)
_LIST_HEADERS = (
    "list-id", "list-unsubscribe", "list-post", "list-help", "mailing-list", "x-mailing-list",
)  # fmt: skip


def flags_of(
    headers: Headers, *, bounce: bool, report: Report | None, own_loop: bool
) -> list[Flag]:
    """The mail's flags, kept apart: each says one thing. `suppress` goes with a machine's mail
    only: a person's mail may ask for no automatic answer too; see `asks_no_answer`."""
    flags: list[Flag] = []
    if bounce:
        flags.append("bounce")
    listed = any(headers.has(name) for name in _LIST_HEADERS)
    listed = listed or headers.token("precedence") == "list"
    if _automatic(headers, listed) or (report is not None and not bounce):
        flags.append("auto_reply")
    automatic = bool(flags)
    if listed:
        flags.append("list")
    if automatic and asks_no_answer(headers):
        flags.append("suppress")
    if own_loop:
        flags.append("own_loop")
    return flags


def asks_no_answer(headers: Headers) -> bool:
    """Whether the sender's program asks for no automatic answer, as Exchange and web forms do. It
    is no proof that a machine wrote the mail. MS-OXCMAIL 2.2.3.2.14."""
    return headers.token("x-auto-response-suppress") not in ("", "none", "no")


def _automatic(headers: Headers, listed: bool) -> bool:
    """RFC 3834's header by its token (auto-forwarded is a person's mail), and its predecessors. A
    null return path or a bulk precedence says it too, unless a list explains them."""
    if headers.token("auto-submitted") not in _PERSONS or _autoresponder(headers):
        return True
    precedence = headers.token("precedence")
    if precedence == "auto_reply" or headers.has("x-loop") or _away_subject(headers):
        return True
    return not listed and (precedence in ("bulk", "junk") or _null_path(headers))


def _autoresponder(headers: Headers) -> bool:
    named = (headers.token(name) for name in _AUTO_HEADERS if headers.has(name))
    if any(value not in ("no", "false", "0") for value in named):
        return True
    return (
        headers.token("x-autogenerated") == "reply"
        or headers.token("x-precedence") == "auto_reply"
        or headers.token("preference") == "auto_reply"
        or headers.token("delivered-to") == "autoresponder"
        or headers.token("x-mailer") == "vacation"
        or "autoresponder" in headers.raw("x-post-messageclass").lower()
        or "mailbox rules agent" in headers.raw("x-ms-exchange-generated-message-source").lower()
    )


# What mail servers put before the subject that they answer; nobody types it.
_AUTO_SUBJECT = re.compile(
    r"(?i)\A(?:automatic reply|auto(?:matic)?[ -]?(?:reply|response|antwort)|autoreply"
    r"|automatische antwort|automatisch antwoord|automatisk (?:svar|besvarelse)|automatiskt svar"
    r"|autosvar|réponse automatique|respuesta automática|resposta automática|risposta automatica"
    r"|automaattinen vastaus|automatyczna odpowiedź|odpowiedź automatyczna|automatická odpověď"
    r"|automatická odpoveď|automatikus válasz|răspuns automat|автоматический ответ|автоответ"
    r"|автоматична відповідь|автоматичен отговор|αυτόματη απάντηση|otomatik (?:yanıt|cevap)"
    r"|自动(?:答复|回复)|自動(?:回覆|回復|応答|返信)|자동 ?(?:회신|응답))\s*[:：]"
)
# What people set as their own notice. A customer may begin so too, so that it takes a second sign.
_AWAY_SUBJECT = re.compile(
    r"(?i)\A(?:out of (?:the )?office|ooo\b|vacation|on (?:annual )?leave|away from (?:my mail|office)"
    r"|auto(?:matic)?[ -]?(?:reply|response)|abwesen|urlaub|nicht im (?:haus|büro)|absen(?:ce|t)"
    r"|en congés?|fuera de (?:la )?oficina|ausen(?:te|cia)|fora do escritório|fuori (?:sede|ufficio)"
    r"|assen(?:te|za)|afwezig|niet aanwezig|frånvaro|fravær|ikke til stede|poza biurem|nieobecn"
    r"|вне офиса|нет на месте|поза офісом|ofis dışında|外出|不在|休暇|부재)"
)


def _away_subject(headers: Headers) -> bool:
    """An answer of a machine by its subject. The weaker words count only in an answer, or where the
    mail asks for no answer itself."""
    subject = headers.text("subject").lstrip("[ ")[:200]
    if _AUTO_SUBJECT.match(subject):
        return True
    answers = headers.has("in-reply-to") or headers.has("references")
    return bool(_AWAY_SUBJECT.match(subject)) and (answers or asks_no_answer(headers))
