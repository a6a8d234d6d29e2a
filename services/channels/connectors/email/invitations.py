"""A calendar's invitation or answer in words, for a mail that says nothing else. RFC 5545, RFC 5546."""

import re

MAX_LINES = 5_000
MAX_TEXT = 20_000

_LINE = re.compile(
    r"(?i)([A-Z-]{1,40})((?:;[^:\"]{0,200}(?:\"[^\"]{0,200}\"[^:\"]{0,200})?)*):(.*)"
)
_MEANT = {
    "REQUEST": "Invitation",
    "PUBLISH": "Event",
    "CANCEL": "Cancelled",
    "COUNTER": "Another time is proposed",
}
_ANSWERED = {"ACCEPTED": "Accepted", "DECLINED": "Declined", "TENTATIVE": "Tentatively accepted"}
_WANTED = ("METHOD", "SUMMARY", "DTSTART", "DTEND", "LOCATION", "DESCRIPTION", "COMMENT")
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)?(Z?))?\Z")


def words_of(text: str) -> str:
    """What it is, its subject, time and place, and the words of who wrote it; "" without a subject."""
    told: dict[str, str] = {}
    within: list[str] = []
    for line in re.sub(r"\r?\n[ \t]", "", text[: MAX_TEXT * 4]).splitlines()[:MAX_LINES]:
        found = _LINE.match(line)
        if not found:
            continue
        name, value = found[1].upper(), found[3].strip()
        if name in ("BEGIN", "END"):
            within = [*within, value.upper()][-8:] if name == "BEGIN" else within[:-1]
        elif within and within[-1] in ("VCALENDAR", "VEVENT", "VTODO"):
            _note(told, name, found[2], value)
    return "\n".join(_lines(told))[:MAX_TEXT] if told.get("SUMMARY") else ""


def _note(told: dict[str, str], name: str, parameters: str, value: str) -> None:
    if name in _WANTED:
        zone = re.search(r"(?i);TZID=\"?([^;:\"]{1,80})", parameters)
        told.setdefault(name, value)
        if zone:
            told.setdefault(f"{name} zone", zone[1])
    elif name == "ATTENDEE":
        state = re.search(r"(?i);PARTSTAT=\"?([A-Z-]{1,20})", parameters)
        told.setdefault("answer", state[1].upper() if state else "")


def _lines(told: dict[str, str]) -> list[str]:
    method = told.get("METHOD", "").upper()
    if method == "REPLY":
        meant = _ANSWERED.get(told.get("answer", ""), "Answer")
    else:
        meant = _MEANT.get(method, "Event")
    lines = [f"{meant}: {_plain(told['SUMMARY'])}"]
    when = [shown for name in ("DTSTART", "DTEND") if (shown := _moment(told, name))]
    lines += [f"When: {' – '.join(when)}"] if when else []
    lines += [f"Where: {_plain(told['LOCATION'])}"] if told.get("LOCATION") else []
    return lines + [_plain(told[name]) for name in ("COMMENT", "DESCRIPTION") if told.get(name)]


def _moment(told: dict[str, str], name: str) -> str:
    found = _STAMP.match(told.get(name, ""))
    if not found:
        return ""
    year, month, day, hour, minute, _, utc = found.groups()
    zone = "UTC" if utc else told.get(f"{name} zone", "")
    clock = f" {hour}:{minute}" if hour else ""
    return f"{year}-{month}-{day}{clock}{' ' + zone if zone and clock else ''}"


def _plain(value: str) -> str:
    """Text without RFC 5545's escapes."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value).strip()
