"""Performs one pass of a connector's declared fetch: request after request, page after page."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.channels.connectors import aws_signature
from services.channels.connectors.fetching import (
    MAX_PAGES,
    Unfilled,
    at_api,
    authorised,
    may_have_secret,
    names_of,
    request_of,
)
from services.channels.connectors.port import Fetch, NotYet, Page, Secrets, Settings, Told
from services.channels.outgoing.tokens import Tokens
from services.channels.store import StoredConnector
from shared.fetching.ask import Ask
from shared.fetching.client import (
    MAX_ANSWER_BYTES,
    MAX_MEDIA_BYTES,
    MAX_MESSAGE_BYTES,
    Client,
    FetchFailed,
    Reply,
)

_LIMITS = {"media": MAX_MEDIA_BYTES, "message": MAX_MESSAGE_BYTES}


@dataclass(frozen=True, slots=True)
class Errand:
    """A fetch of a connector, with what it needs."""

    stored: StoredConnector
    settings: Settings
    secrets: Secrets
    fetch: Fetch
    ids: Mapping[str, str]
    cursor: str | None
    at_us: int


class Performer:
    """Calls vendors as connectors declare."""

    def __init__(self, client: Client, tokens: Tokens) -> None:
        self._client = client
        self._tokens = tokens

    async def pages(self, errand: Errand) -> AsyncGenerator[Page]:
        """The pages of one pass, at most MAX_PAGES. Raises FetchFailed."""
        names = names_of(errand.settings, errand.ids)
        ask = self._first(errand, names)
        for number in range(MAX_PAGES):
            if ask is None:
                return
            ask = _placed(errand, ask)
            reply = await self._ask(errand, ask, names)
            told = Told(
                ask,
                reply.status,
                reply.body,
                reply.media_type,
                names,
                errand.cursor,
                errand.at_us,
                number,
            )
            page = _read(errand.fetch, told)
            page.cut = page.then is not None and number + 1 == MAX_PAGES
            yield page
            ask = page.then

    def _first(self, errand: Errand, names: Mapping[str, str]) -> Ask | None:
        lacking = [one for one in errand.fetch.needs if one not in names]
        if lacking:
            raise FetchFailed(f"The connector needs the setting {lacking[0]!r}.")
        try:
            return request_of(errand.fetch, names, errand.cursor, errand.at_us)
        except Unfilled as unfilled:
            raise FetchFailed(f"The fetch {unfilled}.", permanent=bool(errand.ids)) from unfilled

    async def _ask(self, errand: Errand, ask: Ask, names: Mapping[str, str]) -> Reply:
        limit = _LIMITS.get(errand.fetch.purpose, MAX_ANSWER_BYTES)
        expected = errand.fetch.expected
        try:
            return await self._client.ask(await self._signed(errand, ask, names), limit, expected)
        except FetchFailed as failed:
            renewed = failed.status == 401 and self._tokens.forget(errand.stored, errand.fetch)
            if not renewed:
                raise
        return await self._client.ask(await self._signed(errand, ask, names), limit, expected)

    async def _signed(self, errand: Errand, ask: Ask, names: Mapping[str, str]) -> Ask:
        fetch, settings = errand.fetch, errand.settings
        if fetch.secret is None or not ask.secret or not may_have_secret(fetch, ask.url, settings):
            return ask
        secret = await self._tokens.secret_for(fetch, errand.stored, settings, errand.secrets)
        how, _, service = fetch.auth.partition(":")
        if how == "aws4":
            key_id, region = names["access_key_id"], names["region"]
            return aws_signature.signed(ask, key_id, secret, region, service, errand.at_us)
        try:
            return authorised(ask, fetch.auth, secret, names)
        except Unfilled as unfilled:
            raise FetchFailed(f"The fetch {unfilled}.") from unfilled


def _placed(errand: Errand, ask: Ask) -> Ask:
    """At the settings' `api_url`, where the address is the vendor's own and no payload's."""
    template = urlsplit(errand.fetch.request.partition(" ")[2].partition("?")[0])
    own = template.netloc.replace("{region}", getattr(errand.settings, "region", None) or "")
    if errand.settings.api_url is None or urlsplit(ask.url).netloc != own:
        return ask
    url = at_api(ask.url, errand.settings)
    return Ask(url, ask.method, ask.headers, ask.body, ask.secret)


def _read(fetch: Fetch, told: Told) -> Page:
    """The codec's reading. Its own fault is one of ours, to be mended: the fetch stays owed."""
    try:
        return fetch.read(told)
    except NotYet as early:
        raise FetchFailed(str(early)) from early
    except Exception as error:
        raise FetchFailed(f"The answer cannot be read: {type(error).__name__}.") from error
