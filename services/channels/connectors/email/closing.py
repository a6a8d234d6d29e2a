"""How a mail ends when its text is over: a signature, the line of a device, the footer of a list."""

import re

_MAX_SIGNATURE = 14
_MAX_SIGNATURE_LINE = 120
RULED = frozenset("-—–_=*‐‑─#")
"""How delimiters, rules and separators begin."""
RULE = re.compile(r"\A\s*(?:_{5,}|-{20,}|={20,}|\*{20,})\s*\Z")
# Names that stand in a signature, and words that a customer uses too: "sent by mail, no answer".
_BRAND = (
    r"iphon\w*|ipad\w*|ipod\w*|android\w*|samsung|galaxy|xperia|huawei|honor|xiaomi|redmi|oneplus|pixel|nokia"
    r"|motorola|htc|blackberry|windows|surface|outlook|hotmail|yahoo|aol|proton ?mail|k-?9|gmail|gmx|web\.de"
    r"|mail\.ru|яндекс\.?|mailbird|mailspring|mailbox|airmail|spark|superhuman|thunderbird|fairemail|bluemail"
)
_GADGET = (
    r"mail|mobil\w*|(?:tele)?phone|cell\w*|handy|smartphone|tablet\w*|telefon\w*|téléphone|tel[ée]fono|móvil"
    r"|celular|cellulare|device|appareil|dispositivo|gerät|toestel|enhet|urządzenia|телефона|телефону"
    r"|смартфона|мобильного|мобільного"
)
_EXCUSE = (
    r"\s*(?:please|pls|excuse|sorry|apolog|forgive|pardon|brevity|bitte|entschuld|tippfehler|désolé|disculp"
    r"|scus)\b.{0,80}"
)
_LINK = r"(?:\]?\(\S{1,120}\))?"
_BEHIND = rf"(?:{_LINK}[^.,;:!?\n]{{0,60}}(?:[.,;!]?{_EXCUSE}|https?://\S{{1,120}})?)"
_FOR = (
    rf"{_LINK}(?: ?(?:device|mail|app|for|für|pour|para|per|voor|till|til|on|auf|sur)\b.{{0,40}})?"
)
_DEVICE = rf"(?:[\w.'’&-]{{1,14}} ){{0,3}}\[?(?:(?:{_BRAND})\b{_BEHIND}|(?:{_GADGET})\b{_FOR}(?:[.,;!]?{_EXCUSE})?)"
_SYSTEM = (
    r"(?:android|ios|iphone|ipad|mobile|mac|windows)(?:\]?\(\S{1,120}\)|\s?<\S{1,120}>|\s?https?://\S{1,120})?"
    r"(?: (?:herunterladen|beziehen|downloaden|ophalen))?"
)
_BRANDED = rf"(?:[\w.'’&-]{{1,14}} ){{0,2}}(?:{_BRAND})\b{_BEHIND}"
MOBILE = re.compile(
    r"(?i)\A[\s(<>*_\[]*(?:"
    rf"(?:(?:mail |e-?mail )?sent|posted|written|typed) (?:(?:from|via|with|using) (?:my |an? |the )?{_DEVICE}|by {_BRANDED})"
    r"|sent from my \S{1,20}(?: \S{1,20})?"
    rf"|from my (?:{_BRAND})\b{_BEHIND}"
    rf"|(?:get |download |hol(?:en)? sie sich |télécharge[zr] |obt[eé]n(?:er|ga|ir|ha)? |scarica |obter |hämta |hent "
    rf"|pobierz (?:aplikację )?|получит[ье] |отримати )?\[?(?:outlook|bluemail|proton ?mail|gmail) "
    rf"(?:for|für|för|pour|para|per|voor|til|till|dla(?: systemu)?|для) {_SYSTEM}"
    rf"|(?:下载|下載|取得|獲取|获取).{{0,20}}outlook.{{0,60}}|outlook for {_SYSTEM}を入手"
    rf"|envoyé (?:(?:depuis|de|à partir de|avec) (?:{_DEVICE}|mon mobile \w{{2,20}})|par {_BRANDED})"
    rf"|enviado (?:desde|do|de|da|a partir do|con|com) {_DEVICE}"
    rf"|inviato (?:da|dal|con) {_DEVICE}"
    rf"|(?:verzonden|verstuurd) (?:vanaf|met|via) {_DEVICE}"
    rf"|(?:skickat|sendt|lähetetty|odesláno|odoslané|poslano) (?:(?:från|fra|z|ze|s|iz) )?{_DEVICE}"
    rf"|(?:von|diese nachricht wurde von|diese nachricht von) mein.{{1,30}}(?:{_BRAND}|{_GADGET}).{{0,40}} gesendet"
    rf"|gesendet (?:von|mit|über) {_DEVICE}"
    rf"|(?:отправлено|надіслано|изпратено) (?:с|со|из|з|із|от) {_DEVICE}"
    rf"|(?:从|發自|發送自|发自|從)我的 ?.{{0,10}}?(?:{_BRAND}|手机|手機|设备|設備|平板).{{0,20}}"
    r"|从 ?windows ?版?邮件发送"
    r"|.{0,20}(?:iphone|android)から送信|나의 .{1,20}에서 (?:보냄|전송)"
    rf"|von {_DEVICE} gesendet|enviat des d(?:e|el meu|e la meva) {_DEVICE}|envoyé à partir d['’]{_BRANDED}"
    rf"|στάλθηκε από το (?:{_BRAND}).{{0,12}}|נשלח מ.{{0,4}}(?:{_BRAND}).{{0,8}}|أُ?رسلت? من .{{0,6}}(?:{_BRAND}).{{0,8}}"
    rf"|(?:đã )?gửi từ (?:{_BRAND}).{{0,12}}|dikirim dari (?:{_BRAND}).{{0,12}}|ส่งจาก ?(?:{_BRAND}).{{0,12}}"
    rf"|az (?:{_BRAND}) készülék\w{{0,6}} küldve"
    rf"|wysłane z {_DEVICE}|trimis de pe {_DEVICE}|az (?:{_BRAND})-?\w{{0,8}} küldve|(?:{_BRAND}).{{0,12}}d[ae]n gönderildi"
    r")[\s)>*_\].!;]*\Z"
)
# Words of sentences, not of signatures: "Sent from Outlook last week".
_SENTENCE = re.compile(
    r"(?i)\b(?:last|yesterday|today|ago|weeks?|days?|monday|tuesday|wednesday|thursday|friday|gestern|heute"
    r"|letzte\w*|hier|lundi|ayer|lunes|ieri|ontem|gisteren|igår|i går|wczoraj|вчера|never|nie)\b"
)
# Counts only above one of these.
MOBILE_NAME = re.compile(r"\A\s*\S{2,20} from mobile\s*\Z")
# What a list or a filter puts at the end of a mail, and what firms put below a signature.
LIST_FOOTER = re.compile(
    r"(?i)mailing list|\bunsubscribe\b|/listinfo/|google groups|groups\.google|abbestellen"
)
FOOTER = re.compile(
    r"(?i)\bvirus|confidential|vertraulich|confidenti|unsubscribe|subscribed|abmelden|mailing list|disclaimer"
    r"|privileged|intended|https?://|www\.|@"
)
POSTSCRIPT = re.compile(r"(?i)p\.? ?s\.?\s*[:：,]?\s")
# A line of prose, not of a name and address.
PROSE = re.compile(r"\s*(?:(?:\S+\s+){3,30}\S+[.!?…]\s*\Z|[^\W\dA-Z_]\w*,?\s+[^\d@]+?\s[^\d@]+\Z)")
DELIMITER = re.compile(r"\A\s*(?:--|—|–)\s*\Z")
STRICT_DELIMITER = "-- "


def quoted(line: str) -> bool:
    return line.lstrip().startswith(">")


def of_device(lines: list[str], at: int) -> bool:
    """Whether a line is a device's signature. A sentence that was wrapped may go on with the same
    words, but not with a capital."""
    line = lines[at][:200]
    if not _mobile(line):
        below = lines[at + 1][:200] if at + 1 < len(lines) else ""
        return bool(MOBILE_NAME.match(line) and _mobile(below))
    above = lines[at - 1].strip() if at else ""
    return not above or quoted(above) or not line.lstrip(" \t*_")[:1].islower()


def _mobile(line: str) -> bool:
    return bool(MOBILE.match(line)) and not _SENTENCE.search(line)


def before_signature(lines: list[str], end: int) -> int:
    """The line of a signature's delimiter, when only a short block follows it. A rule counts only
    above a list's footer, and a footer below a quote: people draw lines too."""
    for at in range(end - 1, max(end - 2 - _MAX_SIGNATURE, -1), -1):
        if lines[at].strip()[:1] not in RULED:
            continue
        if DELIMITER.match(lines[at]):
            return at if _signs(lines, at, end) else end
        if RULE.match(lines[at]) and at > 0:
            return at if _foots(lines, at, end) else end
    return end


def _foots(lines: list[str], at: int, end: int) -> bool:
    below = lines[at + 1 : end]
    if any(LIST_FOOTER.search(line) for line in below):
        return True
    above = next((each for each in reversed(lines[max(at - 20, 0) : at]) if each.strip()), "")
    return quoted(above) and any(FOOTER.search(line) for line in below)


def _signs(lines: list[str], at: int, end: int) -> bool:
    """Whether a delimiter opens a signature: the standard's own, or one that stands alone in the
    mail above short lines that ask nothing. Others separate what somebody wrote."""
    below = [line.strip() for line in lines[at + 1 : end]]
    if any(POSTSCRIPT.match(line) for line in below):
        return False
    if lines[at] == STRICT_DELIMITER:
        return True
    above = next((line for line in reversed(lines[max(at - 3, 0) : at]) if line.strip()), "")
    if above.rstrip().endswith((":", "：")) or any(_speaks(line) for line in below):
        return False
    return not any(DELIMITER.match(line) for line in lines[:at])


def _speaks(line: str) -> bool:
    """Whether a line below a delimiter is rather said to the reader than part of a signature."""
    if len(line) > _MAX_SIGNATURE_LINE or line.endswith(("?", "？")):
        return True
    return bool(PROSE.match(line)) and not (FOOTER.search(line) or _mobile(line))
