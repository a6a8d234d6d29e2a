"""The part of a mail's text that its sender wrote now, without what it quotes and without signature.

Nothing a customer wrote may be lost, so only a tail is ever cut: everything from the start of a
quoted history (a separator, a block of headers, an attribution with unmarked text below it), then
quoted lines, attributions and signatures at the end. Quotes with text below them stay. Known
libraries search with patterns of quadratic cost and lose or keep the wrong parts; this is one pass
over lines with patterns that look at one line.
"""

import re
from itertools import islice
from typing import NamedTuple

MAX_LINES = 20_000
MAX_ATTRIBUTIONS = 400
_MAX_SIGNATURE = 14
_VERB_WITHIN = 240  # characters before the colon

_WROTE = (
    r"wrote|writes|schrieb|geschrieben|a écrit|ecrit|écrit|escribió|escribio|escreveu|ha scritto"
    r"|scrisse|schreef|heeft .{0,80}geschreven|geschreven|skrev|skrifaði|kirjoitti|napisał\(a\)"
    r"|napisał|napisała|pisze|написал|написала|написав|пише|пишет|napsal|napísal|írta|yazdı|写道"
    r"|寫道|のメッセージ|さんは書きました|작성"
)
_ATTRIBUTION = re.compile(rf"(?is)(?:\b|(?<=\s))(?:{_WROTE})(?:[^:：]{{0,200}}[:：]){{1,4}}\s*\Z")
_EVIDENCE = re.compile(r"@|\d{1,2}[:.h]\d{2}|\b(?:19|20)\d\d\b|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
# A customer who tells of an earlier mail: "On Monday at 10:00 I wrote:".
_MYSELF = re.compile(
    r"(?i)\b(?:i|we|ich|wir|je|nous|yo|nosotros|io|noi|ik|wij|eu|jag|jeg|я|мы)\s+(?:\w+\s+)?"
    rf"(?:{_WROTE})|\b(?:schrieb|schrieben) (?:ich|wir)\b|\bj'ai écrit|\b(?:escribí|scrissi|escrevi)\b"
)
_STAMP = re.compile(r"@|\d{1,2}[:.h]\d{2}|\b(?:19|20)\d\d-\d\d-\d\d\b")
_DATED_SENDER = re.compile(r"\A\s*\d{1,4}[-./年 ].{0,120}<\s*[^<>\s]+@[^<>\s]+\s*>\s*[:：]\s*\Z")
_ZOHO = re.compile(r"(?i)\A\s*-{2,}\s.{0,300}\b(?:wrote|schrieb|escribió|a écrit)\s*-{2,}\s*\Z")

# How the first line of a wrapped attribution begins: "On Mon, 2 Mar", "Am 02.03.", a date.
_INTRO = re.compile(
    r"(?i)\A[\s>]*(?:(?:on|at|am|le|el|il|op|em|den|på|w dniu|dnia|dne)\b.{0,40}\d"
    r"|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}\.? [^\W\d]{2,12}\.? \d{4}|在 ?\d)"
)

_ORIGINAL = (
    r"original|ursprüngliche|origine|originel|originale|mensaje|mensagem|messaggio|message|nachricht"
    r"|bericht|forwarded|weitergeleitete|transféré|reenviado|encaminhada|inoltrato|doorgestuurd"
    r"|vidarebefordrat|videresendt|исходное|пересылаемое|пересланное|przekazana|oryginalna|转发|原始"
    r"|reply above|reply message|antwort"
)
_SEPARATOR = re.compile(
    rf"(?i)\A[\s>*]*[-_=]{{3,}}\s*[^-_=]{{0,40}}(?:{_ORIGINAL})[^-_=]{{0,40}}[-_=]{{3,}}"
)
_BEGIN_FORWARD = re.compile(
    r"(?i)\A\s*(?:begin forwarded message|anfang der weitergeleiteten nachricht"
    r"|début du message (?:réexpédié|transféré)|inicio del mensaje reenviado"
    r"|inizio messaggio inoltrato|begin doorgestuurd bericht)\s*[:：]\s*\Z"
)
_RULE = re.compile(r"\A\s*(?:_{5,}|-{20,}|={20,})\s*\Z")

_FROM = r"from|von|de|da|van|från|fra|lähettäjä|od|от|від|发件人|寄件者|差出人|보낸 사람"
_OTHER = {
    "date": r"sent|date|gesendet|datum|enviado(?: el| em)?|fecha|data|envoyé|inviato|verzonden|skickat"
    r"|datum|päivämäärä|wysłano|дата|отправлено|надіслано|发送时间|日期|送信日時",
    "to": r"to|an|para|à|a|aan|till|til|do|кому|vastaanottaja|收件人|宛先",
    "subject": r"subject|betreff|asunto|assunto|objet|oggetto|onderwerp|ämne|emne|temat|тема|主题|主旨"
    r"|件名|aihe",
    "cc": r"cc|kopie|kopia|копия|抄送",
    "reply": r"reply-to|antwort an|risposta|responder a|répondre à",
}
_FROM_LINE = re.compile(rf"(?i)\A[\s>]*\*?(?:{_FROM})\s?\*?\s*[:：]\*?\s*\S")
_OTHER_LINES = {
    name: re.compile(rf"(?i)\A[\s>]*\*?(?:{labels})\s?\*?\s*[:：]")
    for name, labels in _OTHER.items()
}
_ON_BEHALF = ("date", "to", "subject", "cc", "reply")

_MOBILE = re.compile(
    r"(?i)\A[\s(<>*_\[]*(?:"
    r"(?:sent|posted|written|typed) (?:from|via|with|by|using) .{1,80}"
    r"|get \[?outlook for .{1,80}|from my .{1,40}|.{1,30} from mobile"
    r"|envoyé (?:depuis|de|à partir de) .{1,60}|enviado (?:desde|do|de) .{1,60}"
    r"|inviato (?:da|dal) .{1,60}|verzonden (?:vanaf|met|via) .{1,60}|skickat från .{1,60}"
    r"|(?:von|diese nachricht wurde von) mein.{1,60} gesendet|gesendet (?:von|mit) .{1,60}"
    r"|von mein.{1,40} gesendet|отправлено (?:с|из) .{1,60}|надіслано (?:з|із) .{1,60}"
    r"|从我的.{1,30}发送|發自我的.{1,30}|從我的.{1,30}傳送|iphoneから送信|sendt fra .{1,60}"
    r"|wysłane z .{1,60}|lähetetty .{1,60}"
    r")[\s)>*_\].!;]*\Z"
)
_DELIMITER = re.compile(r"\A\s*(?:--|—|–)\s*\Z")


class _Body(NamedTuple):
    """The lines of a mail and, for each, how many lines of an attribution it ends (mostly 0)."""

    lines: list[str]
    spans: list[int]


def reply_of(text: str) -> str:
    """The visible reply; all of the text where nothing would remain."""
    written = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(written) > MAX_LINES:
        return text
    body = _Body(written, _spans(written))
    kept = _without_head(body, _before_tail(body, _history(body)))
    reply = "\n".join(kept).strip("\n")
    return reply if reply.strip() else text.strip()


def _quoted(line: str) -> bool:
    return line.lstrip().startswith(">")


def _history(body: _Body) -> int:
    """Where unmarked history begins: everything below is somebody else's."""
    for at, line in enumerate(body.lines):
        if line.strip() and not _quoted(line) and _separates(body, at):
            return _above_rule(body, at)
    return len(body.lines)


def _separates(body: _Body, at: int) -> bool:
    line = body.lines[at]
    if len(line) > 400:
        return False
    first = line.lstrip()[:1]
    if first in "-_=*" and (_SEPARATOR.match(line) or _ZOHO.match(line)):
        return True
    if _BEGIN_FORWARD.match(line) or _header_block(body.lines, at):
        return True
    return body.spans[at] > 0 and _unmarked_below(body, at)


def _header_block(lines: list[str], at: int) -> bool:
    """A From line with at least two more headers right below it."""
    if not _FROM_LINE.match(lines[at]):
        return False
    below = [line for line in lines[at + 1 : at + 7] if line.strip()]
    seen = {name for line in below for name in _ON_BEHALF if _OTHER_LINES[name].match(line)}
    return len(seen) >= 2


def _spans(lines: list[str]) -> list[int]:
    """`attribution` of every line; of the first MAX_ATTRIBUTIONS that could be one, so that a mail
    made of nothing else costs no more."""
    spans = [0] * len(lines)
    likely = (at for at, line in enumerate(lines) if line.rstrip().endswith((":", "：")))
    for at in islice(likely, MAX_ATTRIBUTIONS):
        spans[at] = attribution(lines, at)
    return spans


def attribution(lines: list[str], end: int) -> int:
    """How many lines, up to and with `end`, are a "somebody wrote:" (0: none). It spans up to three
    and carries an address or a date."""
    if not lines[end].rstrip().endswith((":", "：")):
        return 0
    joined, found = "", 0
    for count in (1, 2, 3):
        at = end - count + 1
        if at < 0 or not lines[at].strip() or len(lines[at]) > 400:
            break
        joined = f"{lines[at].strip(' >')} {joined}".strip()
        if found and not _INTRO.match(lines[at]):
            continue
        if _DATED_SENDER.match(joined) or (
            _ATTRIBUTION.search(joined[-_VERB_WITHIN:])
            and _EVIDENCE.search(joined)
            and not _MYSELF.search(joined)
        ):
            found = count
    return found


def _unmarked_below(body: _Body, at: int) -> bool:
    """Whether what an attribution introduces is not marked with ">"."""
    lines, spans = body
    words = " ".join(lines[at - spans[at] + 1 : at + 1])
    if not _STAMP.search(words):
        return False
    for below in range(at + 1, min(at + 12, len(lines))):
        wrapped = below + 1 < len(lines) and spans[below + 1] == 2
        if lines[below].strip() and not spans[below] and not wrapped:
            return not _quoted(lines[below])
    return False


def _above_rule(body: _Body, at: int) -> int:
    """The start of a history, rules, blank lines and wrapped attribution above it included."""
    at -= max(body.spans[at] - 1, 0)
    above = at
    while above > 0 and (not body.lines[above - 1].strip() or _RULE.match(body.lines[above - 1])):
        above -= 1
    return above if any(_RULE.match(line) for line in body.lines[above:at]) else at


def _before_tail(body: _Body, end: int) -> int:
    """The end without quotes, attributions and signature."""
    while True:
        shorter = _before_signature(body.lines, _before_quotes(body, end))
        if shorter == end:
            return end
        end = shorter


def _before_quotes(body: _Body, end: int) -> int:
    while end > 0:
        line = body.lines[end - 1]
        if not line.strip() or _quoted(line) or _MOBILE.match(line[:200]):
            end -= 1
        elif body.spans[end - 1]:
            end -= body.spans[end - 1]
        else:
            break
    return max(end, 0)


def _before_signature(lines: list[str], end: int) -> int:
    """The line of a signature's delimiter, when only a short block follows it. An underscore rule
    counts only below a quote: people draw lines too."""
    for at in range(end - 1, max(end - 2 - _MAX_SIGNATURE, -1), -1):
        if _DELIMITER.match(lines[at]):
            return at
        if _RULE.match(lines[at]) and at > 0:
            above = next(
                (each for each in reversed(lines[max(at - 20, 0) : at]) if each.strip()), ""
            )
            return at if _quoted(above) else end
    return end


def _without_head(body: _Body, end: int) -> list[str]:
    """The lines up to the end, without attributions of the quotes that stay; a quote that opens the
    mail, named by its attribution and answered below once and for all, goes as well."""
    dropped: set[int] = set()
    for at in range(end):
        if body.spans[at] and _quoted_below(body.lines, at, end):
            dropped.update(range(at - body.spans[at] + 1, at + 1))
    kept = [(at, line) for at, line in enumerate(body.lines[:end]) if at not in dropped]
    first = next((at for at, line in kept if line.strip()), end)
    opens_with_quote = any(at < first for at in dropped)
    lines = [line for _, line in kept]
    return _unopened(lines) if opens_with_quote else lines


def _quoted_below(lines: list[str], at: int, end: int) -> bool:
    below = (line for line in lines[at + 1 : min(at + 12, end)] if line.strip())
    return next((_quoted(line) for line in below), False)


def _unopened(lines: list[str]) -> list[str]:
    """The lines below the quote they open with, where that is the only quote."""
    at = 0
    while at < len(lines) and (not lines[at].strip() or _quoted(lines[at])):
        at += 1
    return lines if any(_quoted(line) for line in lines[at:]) else lines[at:]
