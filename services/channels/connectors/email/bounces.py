"""Whether a mail says that another could not be delivered, by its report or by its words.

A customer may write the same words, and what is taken for a bounce reaches nobody: it takes two
signs of a machine. RFC 3464; RFC 5429 (refusals); how programs without reports begin.
"""

import re
from collections.abc import Iterable

from services.channels.connectors.email.headers import Headers
from services.channels.connectors.email.reports import (
    STATUS,
    Report,
    addresses_in,
    field,
    first_address,
)
from shared.contracts.interactions import Address, Bounce

_DAEMON = re.compile(
    r"(?i)\A(?:mailer[-_.]?daemon|post_?master|mail-?daemon|mdaemon|bounce[sd]?|ndr"
    r"|mail[-_.]delivery(?:[-_.]\w+)?|microsoftexchange[0-9a-f]{8,})\b"
)
_DAEMON_NAME = re.compile(
    r"(?i)\A(?:mail delivery (?:sub)?system|mail delivery service|mailer.daemon|postmaster"
    r"|(?:mail|system|e-?mail) administrator|system attendant|content.filter\b.{0,80})\s*\Z"
)
_FAILED = re.compile(
    r"(?i)undeliver|delivery (?:status|failure|problem|report|has failed|incomplete)|mail delivery"
    r"|mail (?:system )?error|mail (?:returned|failed)|returned mail|failure (?:notice|delivery)"
    r"|fail(?:ed|ure) (?:delivery|mail)|mail failure|processing error|user unknown|unknown user"
    r"|non.?delivery|delivery.{0,20}delayed|could not be delivered|not (?:yet )?(?:been )?delivered"
    r"|could not send|returning (?:message|to sender)|message frozen|returned to sender"
    r"|unzustellbar|nicht zugestellt|zustellung|non remis|non distribu|échec de (?:la )?remise"
    r"|no se (?:ha )?pue?d|no entregado|mancata consegna|non recapitabile|onbestelbaar|niet bezorgd"
    r"|não (?:foi )?entregue|kan ikke leveres|kunde inte levereras|kan inte levereras|niedostarcz|zwrot poczty"
    r"|kunne ikke leveres|ei voitu toimittaa|k[ée]zbes[íi]thetetlen|nedoručiteln|impossible de (?:remettre|distribuer)"
    r"|не (?:удалось|может быть) достав|не ?доставлен|teslim edilemedi|退信|传输失败|投递失败|无法(?:传递|送达|投递)|無法(?:傳遞|送達|投遞)"
    r"|配信不能|送信できません|반송"
)
# The same, as no person begins a subject ("Re:" and "Fwd:" before it are a person's).
_BEGINS_FAILED = re.compile(
    r"(?i)\A(?:undeliver(?:able|ed)|delivery (?:status notification|failure|failed|has failed|report)"
    r"|mail delivery (?:failed|failure|status|(?:sub)?system)|returned mail|failure notice|delivery delayed"
    r"|(?:mail|message) (?:could not be|not|was not) delivered|non.?delivery|warning: (?:message|could not)"
    r"|mail (?:system )?error|mail failed|failed mail|unzustellbar|nicht zustellbar|non remis|no entregado"
    r"|onbestelbaar|automatically rejected mail|rejected:)"
)
# How programs tell of it that write no report, and those who copied them.
_NOTICE = re.compile(
    r"(?i)this is the .{0,60}(?:qmail-send|deliver program)|created automatically by (?:the )?mail delivery"
    r"|this is the mail system at host|the original message was received at|created by mail delivery software"
    r"|(?:could|can|was|were|has|have|did) ?not (?:yet )?(?:been |be )?(?:delivered|reach the following)"
    r"|(?:unable|wasn't able|not able|impossible) to deliver|could not deliver (?:the |your )?(?:message|mail)"
    r"|(?:failed|intended|following) (?:recipient|address)|permanent (?:fatal )?error|returned because"
    r"|automatically rejected|user unknown|unknown user|no such user|no valid recipients|host unknown"
    r"|mailbox (?:is )?(?:full|unavailable)|over quota|\b55[0-4][ -]|(?<![\d.])5\.\d\.\d{1,2}(?![\d.])"
    r"|nicht (?:zugestellt|zustellbar)|(?:pas|n'a) pu être (?:remis|délivré|distribué|livré)|non remis"
    r"|no se (?:ha )?pud\w+ entregar|impossibile (?:recapitare|consegnare)|niet (?:worden )?(?:bezorgd|afgeleverd)"
    r"|não (?:pôde|foi possível) .{0,20}entreg|не (?:может|удалось) .{0,30}достав|nie (?:można|udało).{0,30}dostarcz"
    r"|できませんでした|配信できません|无法(?:投递|发送|送达|发送到)|無法(?:傳遞|傳送)|전송(?:하지|되지)"
)
# How they begin, word for word; no person's mail to us does.
_OPENING = re.compile(
    r"(?i)\W*(?:hi\. this is the .{0,60}(?:qmail-send|deliver program)|this message was (?:created|generated)"
    r" automatically|this is (?:the mail system at host|an automat\w+ (?:message|response))"
    r"|the original message was received at|the (?:following|attached) (?:mail|e-?mail|message|address)"
    r"|your (?:mail|e-?mail|message)\b.{0,150}?(?:could|can|was|has) ?not (?:be |been )?(?:delivered|reach)"
    r"|your (?:mail|e-?mail|message)\s+(?:to|subject|did not reach)|could not deliver (?:the )?message to"
    r"|failed recipient|non-delivery report|the e-?mail below could|unable to deliver|message from interscan"
    r"|(?:ihre|diese) (?:nachricht|e-?mail)\b.{0,150}?nicht zugestellt|votre message n'a)",
    re.DOTALL,
)
_ANSWERS = re.compile(r"(?i)\s*(?:re|aw|antw|sv|fwd?|wg|tr|rv|odp|ynt)\s*:")
_DELAYED = re.compile(
    r"(?i)not yet been delivered|will (?:be retried|continue|keep trying)|still being retried|delivery.{0,20}delayed"
    r"|delayed|attempts will|wird weiter versucht|verzögert|retardé|retrasad|ritardo|vertraagd|задержан"
)
_TOLD = 3_000
"""Characters in which a program says what it has to say; below is mostly the mail itself."""


def bounce_of(
    headers: Headers, senders: Iterable[Address], report: Report | None, text: str
) -> Bounce | None:
    """What a bounce says; None when the mail is none. A notice of success, a receipt and a complaint
    are none; that a mail is delayed is one, with its `action`."""
    senders = list(senders)
    if report is not None and report.kind == "delivery-status":
        action = report.action or (field(text[:50_000], "Action") or "").lower()
        if action in ("delivered", "relayed", "expanded"):
            return None
        return _by_report(headers, senders, report, text)
    if report is not None and report.kind:
        return _by_report(headers, senders, report, text) if _refused(headers, report) else None
    return _by_words(headers, senders, text) if _tells(headers, senders, text) else None


def _by_report(headers: Headers, senders: list[Address], report: Report, text: str) -> Bounce:
    seen = _by_words(headers, senders, text)
    return Bounce(
        report.status or seen.status,
        report.recipient or seen.recipient,
        report.message_id or seen.message_id,
        "delayed" if report.action == "delayed" else "failed" if report.action else seen.action,
    )


def _refused(headers: Headers, report: Report) -> bool:
    """A disposition that is no receipt: the recipient's filter sent the mail back."""
    if report.kind != "disposition-notification" or "deleted" not in report.disposition:
        return False
    return (
        "reject" in headers.raw("auto-submitted").lower()
        or "reject" in headers.text("subject").lower()
    )


def _tells(headers: Headers, senders: list[Address], text: str) -> bool:
    """Two signs: a daemon as sender, an empty return path, a subject, a program's words. Names and
    mailboxes that people write under too count for less than a daemon's."""
    if headers.raw("x-failed-recipients"):
        return True
    null, subject = null_path(headers), headers.text("subject")
    if any("daemon" in each.address.lower() for each in senders):
        return null or bool(_FAILED.search(subject)) or _notices(text)
    if any(_DAEMON.match(each.address) for each in senders):
        return null or bool(_FAILED.search(subject) and not _ANSWERS.match(subject))
    if not _BEGINS_FAILED.match(subject):
        return False
    named = any(_DAEMON_NAME.match(each.name or "") for each in senders)
    return null or (named and _notices(text)) or bool(_OPENING.match(text))


def _notices(text: str) -> bool:
    return bool(_NOTICE.search(text[:_TOLD]))


def null_path(headers: Headers) -> bool:
    """The empty return path of RFC 5321: nobody is to answer, above all no machine. Sendmail writes a
    daemon's name for it."""
    path = re.sub(r"\s", "", headers.raw("return-path")).lower()
    return path == "<>" or path.startswith("<mailer-daemon")


def _by_words(headers: Headers, senders: list[Address], text: str) -> Bounce:
    """What the words of a bounce tell, where no report does."""
    status = next((found for found in STATUS.findall(text[:20_000]) if found[0] in "45"), None)
    failed = first_address(headers.raw("x-failed-recipients"))
    recipient = failed or _recipient_in(text[:20_000], senders, headers.addresses("to"))
    original = field(text[:50_000], "Message-ID")
    told = headers.text("subject") + "\n" + text[:_TOLD]
    delayed = not (status or "").startswith("5") and bool(_DELAYED.search(told))
    return Bounce(status, recipient, original, "delayed" if delayed else "failed")


_ROUTE = re.compile(
    r"(?i)\s*>?\s*(?:message-id|references|in-reply-to|received|return-path|from|reply-to|sender|x-[\w-]+)\s*:"
)
_STAFF = re.compile(
    r"(?i)(?:postmaster|mailer-daemon|hostmaster|abuse|support|help\w*|admin\w*|root|uucp)@"
)


def _recipient_in(text: str, senders: list[Address], to: list[Address]) -> str | None:
    """The first address that is neither ours nor one to ask; else the first that is not the sender's."""
    own = {each.address.lower() for each in senders}
    ours = {each.address.lower() for each in to}
    lines = (line for line in text.splitlines() if "@" in line and not _ROUTE.match(line))
    found = [each for line in lines for each in addresses_in(line) if each.lower() not in own]
    likely = (each for each in found if each.lower() not in ours and not _STAFF.match(each))
    return next(likely, None) or next(iter(found), None)


def reported_ids(report: Report | None, bounce: Bounce | None) -> list[str]:
    """The Message-IDs that a bounce or a receipt is about."""
    found = (each.message_id for each in (report, bounce) if each is not None)
    return list(dict.fromkeys(each for each in found if each))
