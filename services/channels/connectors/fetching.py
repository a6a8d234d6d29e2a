"""Fetches as requests: templates filled, secrets added, and the readers of answers that kinds share.

Pure, as everything in a connector.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec

from services.channels.connectors import fields
from services.channels.connectors.port import (
    Fetch,
    Grant,
    Page,
    Parsed,
    Secrets,
    Settings,
    Told,
)
from services.channels.connectors.reading import moment
from shared.contracts.instants import SECOND_US
from shared.fetching.ask import Ask

MAX_PAGES = 20
"""Of one pass; the rest follows in the next."""

FIRST_PASS_S = 86_400
MAX_MARKED = 50

_NAME = re.compile(r"\{([A-Za-z_]+)\}")
_SAFE_PATH = "/:@!$'()*,;=~-._+"
GOOGLE = Grant(
    "https://oauth2.googleapis.com/token",
    {
        "grant_type": "refresh_token",
        "client_id": "{client_id}",
        "client_secret": "{client_secret}",
        "refresh_token": "{refresh_token}",
    },
)
GOOGLE_SECRETS = {
    "client_id": "OAuth client, which renews the token together with the next two.",
    "client_secret": "The OAuth client's secret.",
    "refresh_token": "OAuth refresh token of the account.",
}


class Unfilled(Exception):
    """Names that a template needs and nobody has given."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(f"needs {', '.join(self.names)}")


def names_of(settings: Settings, ids: Mapping[str, str]) -> dict[str, str]:
    """What templates may name: the settings' scalars, and above them the `ids` of a `Wanted`."""
    given = settings.model_dump(mode="json")
    scalars = {k: str(v) for k, v in given.items() if isinstance(v, str | int) and v != ""}
    return {**scalars, **{name: value for name, value in ids.items() if value}}


def request_of(
    fetch: Fetch, names: Mapping[str, str], cursor: str | None, at_us: int
) -> Ask | None:
    """The first request of a pass or a fetch; None when there is nothing to ask. Raises Unfilled."""
    if fetch.prepare is not None:
        asked = fetch.prepare(names, cursor, at_us)
    else:
        method, _, template = fetch.request.partition(" ")
        known = names if cursor is None else {**names, "cursor": cursor}
        asked = Ask(filled(template, known), method)
    if asked is None or not fetch.headers:
        return asked
    return msgspec.structs.replace(asked, headers=(*asked.headers, *fetch.headers))


def needs(fetch: Fetch, names: Mapping[str, str]) -> list[str]:
    """Settings that the fetch's address needs and that are not there."""
    path = fetch.request.partition(" ")[2].partition("?")[0]
    given = ("secret", "inbound_url")
    return [one for one in _NAME.findall(path) if one not in names and one not in given]


def filled(template: str, names: Mapping[str, str]) -> str:
    """The URL. Values are escaped, but for a URL or an origin at the beginning; no value can lead
    out of the path. Raises Unfilled."""
    place, mark, query = template.partition("?")
    first = _NAME.match(place)
    start = names.get(first[1], "") if first is not None else ""
    if first is not None and "://" in start:
        if first.end() == len(template):
            return start
        place = start.rstrip("/") + _path(place[first.end() :], names)
    else:
        place = _path(place, names)
    arguments = [each for each in (_argument(one, names) for one in query.split("&")) if each]
    return f"{place}?{'&'.join(arguments)}" if mark and arguments else place


def _path(template: str, names: Mapping[str, str]) -> str:
    unknown = [one for one in _NAME.findall(template) if one not in names and one != "secret"]
    if unknown:
        raise Unfilled(unknown)

    def value(found: re.Match[str]) -> str:
        if found[1] == "secret":
            return found[0]
        text = names[found[1]]
        if any(part in (".", "..") for part in text.split("/")):
            raise Unfilled([found[1]])
        return quote(text, safe=_SAFE_PATH)

    return _NAME.sub(value, template)


def _argument(template: str, names: Mapping[str, str]) -> str | None:
    if any(one not in names for one in _NAME.findall(template)):
        return None
    return _NAME.sub(lambda found: quote(names[found[1]], safe=":,"), template)


def at_api(url: str, settings: Settings) -> str:
    """The URL at the settings' `api_url` instead of the vendor's usual origin."""
    if settings.api_url is None:
        return url
    parts = urlsplit(url)
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    return settings.api_url.rstrip("/") + rest


def may_have_secret(fetch: Fetch, url: str, settings: Settings) -> bool:
    """Whether the host of a URL may be told the secret: those of the fetch's own address, the
    settings' and the declared ones."""
    host = urlsplit(url).hostname or ""
    template = fetch.request.partition(" ")[2]
    own = urlsplit(template).hostname if "://" in template else None
    base = getattr(settings, "base_url", None)
    exact = {own, urlsplit(settings.api_url or "").hostname, urlsplit(base or "").hostname} - {None}
    if host in exact:
        return True
    return any(host == one or host.endswith(f".{one}") for one in fetch.hosts)


def authorised(ask: Ask, auth: str, secret: str, names: Mapping[str, str]) -> Ask:
    """The request with its secret. Raises Unfilled."""
    how, _, name = auth.partition(":")
    if how == "path":
        return msgspec.structs.replace(
            ask, url=ask.url.replace("{secret}", quote(secret, safe=":"))
        )
    if how == "query":
        joint = "&" if "?" in ask.url else "?"
        return msgspec.structs.replace(ask, url=f"{ask.url}{joint}{urlencode({name: secret})}")
    if how == "header":
        return _with(ask, name, secret)
    if how == "basic":
        return _with(ask, "Authorization", _basic(secret, name, names))
    if how == "scheme":
        return _with(ask, "Authorization", f"{name} {secret}")
    return _with(ask, "Authorization", f"Bearer {secret}")


def _basic(secret: str, name: str, names: Mapping[str, str]) -> str:
    pair = secret
    if ":" not in secret or name:
        user = name[1:] if name.startswith("=") else names.get(name) if name else None
        if user is None:
            raise Unfilled([name or "user"])
        pair = f"{user}:{secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _with(ask: Ask, name: str, value: str) -> Ask:
    return msgspec.structs.replace(ask, headers=(*ask.headers, (name, value)))


def grant_ask(grant: Grant, secrets: Secrets, settings: Settings) -> Ask | None:
    """The request for a token; None while one of its secrets or settings is missing. A secret
    «user:word» can be named in parts, as `NAME_user` and `NAME_word`."""
    words = {name: values[0] for name, values in secrets.items() if values}
    pairs = {name: word.partition(":") for name, word in words.items() if ":" in word}
    parts = {f"{name}_user": pair[0] for name, pair in pairs.items()}
    parts |= {f"{name}_word": pair[2] for name, pair in pairs.items()}
    names = names_of(settings, {**words, **parts})
    templates = [grant.url, *grant.form.values()]
    wanted = {one for text in templates for one in _NAME.findall(text)} | set(grant.basic or ())
    if not wanted <= names.keys():
        return None
    form = {k: _NAME.sub(lambda m: names[m[1]], v) for k, v in grant.form.items()}
    body = json.dumps(form) if grant.json else urlencode(form)
    kind = "application/json" if grant.json else "application/x-www-form-urlencoded"
    ask = Ask(
        at_api(filled(grant.url, names), settings), "POST", (("Content-Type", kind),), body.encode()
    )
    if grant.basic is None:
        return ask
    user, password = (names[one] for one in grant.basic)
    return _with(ask, "Authorization", _basic(f"{user}:{password}", "", {}))


# Readers of answers


def payload(told: Told) -> Any:
    """The answer's JSON; {} when it is none."""
    found = fields.decode_json(told.body, Parsed())
    return {} if found is None else found


def posted(value: Any) -> bytes:
    """JSON as a body that the codec takes."""
    return msgspec.json.encode(value)


def walk(source: Any, path: str) -> Any:
    """The value at a dotted path."""
    return fields.at(source, *path.split(".")) if path else source


def rows(source: Any, path: str) -> Iterator[dict[str, Any]]:
    """The objects of the list at a dotted path ("" for the whole)."""
    value = walk(source, path)
    return fields.items({"all": value if isinstance(value, list) else []}, "all")


class Row(msgspec.Struct, frozen=True):
    """One item of a list: when it changed last (as the vendor writes it), and its id."""

    stamp: str
    identity: str
    item: dict[str, Any]


def fresh(found: Iterable[Row], cursor: str | None, at_us: int) -> list[Row]:
    """Those that no earlier pass has seen. The first pass takes the last day's: history is not
    imported."""
    if cursor is None:
        since_us = at_us - FIRST_PASS_S * SECOND_US
        return [one for one in found if (moment({"at": one.stamp}, "at") or at_us) >= since_us]
    stamp, known = _marked(cursor)
    return [
        one
        for one in found
        if order(one.stamp) > order(stamp) or (one.stamp == stamp and one.identity not in known)
    ]


def moved(found: Iterable[Row], cursor: str | None) -> str | None:
    """The cursor after these: the newest stamp, and the ids that have it, for others of the same
    stamp may follow. None where there is nothing newer."""
    rows_ = [one for one in found if one.stamp]
    if not rows_:
        return None
    newest = max((one.stamp for one in rows_), key=order)
    names = [one.identity for one in rows_ if one.stamp == newest]
    if cursor is not None:
        stamp, known = _marked(cursor)
        if order(newest) < order(stamp):
            return None
        names = [*known, *names] if newest == stamp else names
    kept = list(dict.fromkeys(name.replace(",", " ") for name in names))[-MAX_MARKED:]
    return f"{newest}|{','.join(kept)}"


def stamp_of(cursor: str | None) -> str | None:
    """The stamp in a cursor that `moved` made."""
    return None if cursor is None else _marked(cursor)[0]


def _marked(cursor: str) -> tuple[str, list[str]]:
    stamp, _, names = cursor.partition("|")
    return stamp, names.split(",") if names else []


def newest_first(
    items: str, read_row: Callable[[dict[str, Any]], Row], listed: str, token: str, argument: str
) -> Callable[[Told], Page]:
    """A reader of lists that begin with the newest item and go on, page by page, into the past.

    It hands on what is fresh, and goes on until a page ends (by its `listed` stamp) where the last
    pass began; where that is more than one pass takes, the next one goes on where this one ended,
    after a look at what is new. `items` and `listed` are dotted paths, `token` is where the answer holds the next
    page's, `argument` how it is asked for.
    """

    def read(told: Told) -> Page:
        answer = payload(told)
        raw = list(rows(answer, items))
        found = [read_row(one) for one in raw]
        place = Place.read(told.cursor)
        new = [one.item for one in fresh(found, place.since, told.at_us)]
        page = Page(payloads=[posted(new)] if new else [])
        more, last = _text(walk(answer, token)), _text(walk(raw[-1], listed)) if raw else ""
        if told.page == 0:
            page.cursor = moved(found, place.newest) or place.newest
            if place.left is not None and not _newer(last, place.newest):
                page.then = with_argument(told.ask, argument, place.left)
                return page
        if more and _newer(last, place.since):
            page.then = None if _last(told) else with_argument(told.ask, argument, more)
            page.left = more if _last(told) else None
        return page

    return read


def _newer(stamp: str, cursor: str | None) -> bool:
    """Whether a page that ends with the stamp has not come to where the last pass began."""
    since = stamp_of(cursor)
    return bool(stamp) and since is not None and order(stamp) > order(since)


class Place(msgspec.Struct, frozen=True):
    """Where a list of the newest first has been read: all up to `since`, and from `newest` down to
    the vendor's token `left`. Without `left` there is no gap, and both are the same."""

    newest: str | None
    since: str | None
    left: str | None = None

    @classmethod
    def read(cls, cursor: str | None) -> "Place":
        newest, _, rest = (cursor or "").partition("\n")
        since, _, left = rest.partition("\n")
        return cls(newest, since, left) if left else cls(cursor, cursor)

    def text(self) -> str | None:
        """As a cursor."""
        return self.newest if self.left is None else f"{self.newest}\n{self.since}\n{self.left}"


def _last(told: Told) -> bool:
    return told.page + 1 >= MAX_PAGES


def order(stamp: str) -> tuple[int, float, str]:
    """Numbers by size, texts (ISO instants) by letter."""
    number = fields.number({"at": stamp}, "at")
    return (0, number, "") if number is not None else (1, 0.0, stamp)


def newest(*stamps: str | None) -> str:
    """The newest of some stamps; "" where there is none."""
    return max((one for one in stamps if one), key=order, default="")


def _text(value: Any) -> str:
    return fields.text({"at": value}, "at") or ""


def with_argument(ask: Ask, name: str, value: str) -> Ask:
    """The same request with one argument set."""
    place, _, query = ask.url.partition("?")
    kept = [one for one in query.split("&") if one and one.partition("=")[0] != name]
    kept.append(f"{name}={quote(value, safe=':,')}")
    return msgspec.structs.replace(ask, url=f"{place}?{'&'.join(kept)}")


def linked(told: Told, link: str | None) -> Ask | None:
    """The next page by the vendor's own link; None where there is none, or it leads elsewhere."""
    if not link:
        return None
    url = urljoin(told.ask.url, link)
    if urlsplit(url)[:2] != urlsplit(told.ask.url)[:2]:
        return None
    return msgspec.structs.replace(told.ask, url=url)


def file(told: Told) -> Page:
    """The answer is the file."""
    return Page(content=told.body, content_type=told.media_type)


OVERLAP_S = 60
FIRST_LOOK_S = 3600


def since_s(cursor: str | None, at_us: int) -> int:
    """Seconds since 1970 from which a reconciler looks: the last pass's, at first an hour ago."""
    known = fields.integer({"at": cursor}, "at")
    return known if known is not None else at_us // SECOND_US - FIRST_LOOK_S


def next_since(at_us: int) -> str:
    """The cursor of a pass that began at an instant: a little earlier, for clocks differ."""
    return str(at_us // SECOND_US - OVERLAP_S)


def gone(read: Callable[[Told], Page]) -> Callable[[Told], Page]:
    """`read`, but nothing of what the vendor no longer has (of fetches that expect 404)."""

    def told(answer: Told) -> Page:
        return Page() if answer.status == 404 else read(answer)

    return told


def done(_: Told) -> Page:
    """The request itself was all."""
    return Page()


def file_at(path: str, *, secret: bool = True) -> Callable[[Told], Page]:
    """The answer says, at a dotted path, where the file is; then the file."""

    def read(told: Told) -> Page:
        if told.page:
            return file(told)
        url = fields.text({"at": walk(payload(told), path)}, "at")
        if not url:
            return Page(lost="The vendor's answer names no file.")
        return Page(then=Ask(url, secret=secret, headers=told.ask.headers))

    return read


MEDIA_BY_URL = Fetch("media", "GET {url}", read=file)
"""Files whose address anybody may open."""
