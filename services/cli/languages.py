"""Language detection, loaded before this process calls itself ready.

Loading a script's models holds the interpreter, in whatever thread: at a customer's first message it
would stop every other call for a tenth of a second.
"""

import asyncio

from services.channels.connectors import language
from shared.db.platform_store import PlatformStore

PAGE = 500
MOST = 64
"""So many sets of languages: as many detectors are kept."""


async def load_languages(platform: PlatformStore) -> None:
    """Load what detecting the languages of all workspaces needs. Raises DatabaseUnavailable."""
    found: dict[tuple[str, ...], None] = {}
    after = ""
    while len(found) < MOST and (rows := await platform.workspaces(after=after, limit=PAGE)):
        sets = (language.usable(tuple(row.settings.get("languages") or ())) for row in rows)
        found |= dict.fromkeys(each for each in sets if each)
        after = rows[-1].id
    for languages in list(found)[:MOST]:
        await asyncio.to_thread(language.warm, languages)
