"""The part of a mail's text that its sender wrote now, without what it quotes and without signature.

Nothing a customer wrote may be lost, so only a tail is ever cut: everything from the start of a
quoted history (a separator, a block of headers, an attribution with unmarked text below it), then
quoted lines, attributions and signatures at the end. Quotes with text below them stay. Known
libraries search with patterns of quadratic cost and lose or keep the wrong parts; this is one pass
over lines with patterns that look at one line.
"""

from itertools import islice
from typing import NamedTuple

from services.channels.connectors.email.armour import unarmoured
from services.channels.connectors.email.closing import (
    RULE,
    RULED,
    before_signature,
    of_device,
    quoted,
)
from services.channels.connectors.email.reply_words import (
    ANY_ATTRIBUTION,
    ATTRIBUTION,
    DATED_SENDER,
    EVIDENCE,
    FORWARD,
    FORWARDED_SUBJECT,
    FROM_LINE,
    INTRO,
    LABEL_LINES,
    NAMED_WRITER,
    POINTERS,
    POINTS_BELOW,
    QUOTING,
    SEPARATOR,
    STAMP,
    TELLING,
    TELLING_UNMARKED,
    ZOHO,
)

MAX_LINES = 20_000
MAX_ATTRIBUTIONS = 400
_VERB_WITHIN = 240  # characters before the colon
_LABEL_WITHIN = 40
_MARKS = (
    ":",
    "：",
    "--",
    "__",
    "==",
    "##",
    "‐‐",
    "——",
    "──",
)  # one is in every beginning of a history
_DIRECTIONS = dict.fromkeys(
    (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)
_BLOCK = 7  # lines of headers within the text that are looked at


class _Body(NamedTuple):
    """The lines of a mail; those of them, by number, that may begin a history; and for each line how
    many lines of an attribution it ends (mostly 0)."""

    lines: list[str]
    marked: list[int]
    spans: list[int]


def is_forwarded(subject: str) -> bool:
    """Whether a subject says that the mail passes on another."""
    return bool(FORWARDED_SUBJECT.match(subject[:200]))


def reply_of(text: str, *, forwarded: bool = False) -> str:
    """The visible reply; all of the text where nothing would remain. What a mail forwards is what
    its sender wants read: from there on everything stays. `forwarded`: its subject says so, which
    tells an Outlook forward from an Outlook reply."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unarmoured(text) or text
    written = text.split("\n")
    if len(written) > MAX_LINES:
        return text
    marked = _marked(text, written)
    body = _Body(written, marked, _spans(written, marked))
    end, passed_on = _history(body)
    if passed_on or (forwarded and end < len(written)):
        return text.strip("\n")
    reply = _reply(body, end)
    if end < len(written) and (_opens_with_attribution(body) or _points_below(reply)):
        reply = _reply(body, len(written))
    return reply if reply.strip() else text.strip()


def _reply(body: _Body, end: int) -> str:
    return "\n".join(_without_head(body, _before_tail(body, end))).strip("\n")


def _points_below(reply: str) -> bool:
    lowered = reply.lower()
    return any(word in lowered for word in POINTERS) and bool(POINTS_BELOW.search(reply))


def _opens_with_attribution(body: _Body) -> bool:
    """What stands below an attribution that nothing is above is all that the mail says."""
    first = next((at for at, line in enumerate(body.lines) if line.strip()), 0)
    return any(first == at - span + 1 for at, span in _first_spans(body, first) if span)


def _first_spans(body: _Body, first: int) -> list[tuple[int, int]]:
    return list(enumerate(body.spans))[first : first + 3]


def _marked(text: str, lines: list[str]) -> list[int]:
    marks = [mark for mark in _MARKS if mark[0] in text and mark in text]
    return sorted({at for mark in marks for at, line in enumerate(lines) if mark in line})


def _history(body: _Body) -> tuple[int, bool]:
    """(where unmarked history begins: everything below is somebody else's; whether it is what the
    sender forwards)."""
    for at in body.marked:
        line = body.lines[at]
        if len(line) > 400:
            continue
        if quoted(line):
            if _opens_quoted_forward(body, at):
                return at, True
            continue
        if _forwards(line):
            return at, True
        if _separates(body, at):
            start = _above_rule(body, _first_header(body.lines, at))
            return start, _shown(body, start)
    return len(body.lines), False


def _shown(body: _Body, start: int) -> bool:
    """Whether the sender puts what follows before the reader ("I got this mail:"): then it, and what
    is said of it below, is what the mail says."""
    above = next((at for at in range(start - 1, -1, -1) if body.lines[at].strip()), None)
    if above is None or not body.lines[above].rstrip().endswith((":", "：")):
        return False
    line = body.lines[above]
    plain = not EVIDENCE.search(line) and not NAMED_WRITER.match(line)
    return plain and not body.spans[above] and _label(line) is None


def _first_header(lines: list[str], at: int) -> int:
    """The first line of the headers that one of them stands in."""
    if _label(lines[at]) is None:
        return at
    first = at
    while first > max(at - _BLOCK, 0) and _label(lines[first - 1]):
        first -= 1
    return first


def _forwards(line: str) -> bool:
    marked = line.lstrip()[:1] in RULED or line.rstrip()[-1:] in (":", "：")
    return marked and bool(FORWARD.match(line))


def _opens_quoted_forward(body: _Body, at: int) -> bool:
    """Apple Mail marks even what it forwards; but in the quote of an answer it is history."""
    line = body.lines[at].strip()
    if not _forwards(line[1:].strip() or " "):
        return False
    above = at - 1
    while above >= 0 and not body.lines[above].strip():
        above -= 1
    return above < 0 or not (quoted(body.lines[above]) or body.spans[above])


def _separates(body: _Body, at: int) -> bool:
    line = body.lines[at]
    first = line.lstrip()[:1]
    if first in RULED and (SEPARATOR.match(line) or ZOHO.match(line)):
        return True
    if _header_block(body.lines, at):
        return True
    return body.spans[at] > 0 and _unmarked_below(body, at)


def _header_block(lines: list[str], at: int) -> bool:
    """Headers of a mail as programs quote them: who sent it to whom and when, and what no form of a
    customer's has beside: a subject, a time of sending, or an address of the sender."""
    label = _label(lines[at])
    if label not in ("from", "sent", "date"):
        return False
    block: dict[str, str] = {}
    start = _first_header(lines, at)
    for line in lines[start : start + _BLOCK]:
        if line.strip() and (found := _label(line)):
            block.setdefault(found, line)
    if "from" not in block or not block.keys() & _RECEIVED or not block.keys() & _DATED:
        return False
    return "subject" in block or "sent" in block or "@" in block["from"]


_RECEIVED = {"to", "cc", "reply"}
_DATED = {"sent", "date"}


def _label(line: str) -> str | None:
    """Which header of a mail a line within the text is, in whatever language."""
    head = line[:_LABEL_WITHIN]
    if ":" not in head and "：" not in head:
        return None
    if FROM_LINE.match(line):
        return "from"
    return next((name for name, label in LABEL_LINES.items() if label.match(line)), None)


def _spans(lines: list[str], marked: list[int]) -> list[int]:
    """`attribution` of every line; of the first MAX_ATTRIBUTIONS that could be one, so that a mail
    made of nothing else costs no more."""
    spans = [0] * len(lines)
    likely = (at for at in marked if _bare(lines[at]).endswith((":", "：")))
    for at in islice(likely, MAX_ATTRIBUTIONS):
        spans[at] = attribution(lines, at)
    return spans


def attribution(lines: list[str], end: int) -> int:
    """How many lines, up to and with `end`, are a "somebody wrote:" (0: none). It spans up to three
    and carries an address or a date."""
    if not _bare(lines[end]).endswith((":", "：")):
        return 0
    marked = _marked_below(lines, end)
    joined, found = "", 0
    for count in (1, 2, 3):
        at = end - count + 1
        if at < 0 or not lines[at].strip() or len(lines[at]) > 400:
            break
        joined = f"{_bare(lines[at]).strip(' >')} {joined}".strip()
        if found and not INTRO.match(lines[at]):
            continue
        if _names_writer(joined, marked):
            found = count
    return found


def _bare(line: str) -> str:
    """The line without the marks by which programs turn the direction of writing."""
    return (line if line.isascii() else line.translate(_DIRECTIONS)).rstrip()


def _names_writer(joined: str, marked: bool) -> bool:
    if DATED_SENDER.match(joined):
        return True
    if marked and (ANY_ATTRIBUTION.match(joined) or QUOTING.match(joined)):
        return True
    named = marked and NAMED_WRITER.match(joined)
    if not named and not (ATTRIBUTION.search(joined[-_VERB_WITHIN:]) and EVIDENCE.search(joined)):
        return False
    return not TELLING.search(joined) and (marked or not TELLING_UNMARKED.search(joined))


def _marked_below(lines: list[str], at: int) -> bool:
    below = (line for line in lines[at + 1 : at + 4] if line.strip())
    return next((quoted(line) for line in below), False)


def _unmarked_below(body: _Body, at: int) -> bool:
    """Whether what an attribution introduces is not marked with ">"."""
    lines, spans = body.lines, body.spans
    words = " ".join(lines[at - spans[at] + 1 : at + 1])
    if not STAMP.search(words):
        return False
    for below in range(at + 1, min(at + 12, len(lines))):
        wrapped = below + 1 < len(lines) and spans[below + 1] == 2
        if lines[below].strip() and not spans[below] and not wrapped:
            return not quoted(lines[below])
    return False


def _above_rule(body: _Body, at: int) -> int:
    """The start of a history, rules, blank lines and wrapped attribution above it included."""
    at -= max(body.spans[at] - 1, 0)
    above = at
    while above > 0 and (not body.lines[above - 1].strip() or RULE.match(body.lines[above - 1])):
        above -= 1
    return above if any(RULE.match(line) for line in body.lines[above:at]) else at


def _before_tail(body: _Body, end: int) -> int:
    """The end without quotes, attributions and signature."""
    while True:
        shorter = before_signature(body.lines, _before_quotes(body, end))
        if shorter == end:
            return end
        end = shorter


def _before_quotes(body: _Body, end: int) -> int:
    """The end without quotes, attributions and devices' signatures; a quote that the sender
    introduces ("It says:") stays."""
    whole = end
    while end > 0:
        line = body.lines[end - 1]
        if line[:1] == ">" or not line.strip() or quoted(line) or of_device(body.lines, end - 1):
            end -= 1
        elif body.spans[end - 1]:
            end -= body.spans[end - 1]
        else:
            break
    end = max(end, 0)
    quote = next((at for at in range(end, whole) if body.lines[at].strip()), whole)
    shown = quote < whole and quoted(body.lines[quote]) and _shown(body, end)
    return whole if shown else end


def _without_head(body: _Body, end: int) -> list[str]:
    """The lines up to the end, without attributions of the quotes that stay; a quote that opens the
    mail, named by its attribution and answered below once and for all, goes as well."""
    dropped: set[int] = set()
    for at in body.marked:
        if at < end and body.spans[at] and _of_quote(body, at, end):
            dropped.update(range(at - body.spans[at] + 1, at + 1))
    if not dropped:
        return body.lines[:end]
    kept = [(at, line) for at, line in enumerate(body.lines[:end]) if at not in dropped]
    first = next((at for at, line in kept if line.strip()), end)
    opens_with_quote = any(at < first for at in dropped)
    lines = [line for _, line in kept]
    return _unopened(lines) if opens_with_quote else lines


def _of_quote(body: _Body, at: int, end: int) -> bool:
    """Whether an attribution says nothing of the sender's: a quote follows, or it opens the mail."""
    above = at - body.spans[at]
    if not any(line.strip() for line in body.lines[: above + 1][-20:]) and above < 20:
        return True
    return _quoted_below(body.lines, at, end)


def _quoted_below(lines: list[str], at: int, end: int) -> bool:
    below = (line for line in lines[at + 1 : min(at + 12, end)] if line.strip())
    return next((quoted(line) for line in below), False)


def _unopened(lines: list[str]) -> list[str]:
    """The lines below the quote they open with, where that is the only quote."""
    at = 0
    while at < len(lines) and (not lines[at].strip() or quoted(lines[at])):
        at += 1
    return lines if any(quoted(line) for line in lines[at:]) else lines[at:]
