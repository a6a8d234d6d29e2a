"""The language a text is written in, out of those a workspace works in.

Cheap enough for the path of a webhook: a short sample, lingua's small model, detectors kept per set
of languages. Loading a detector takes up to a second, so shells `warm` it beforehand.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from lingua import IsoCode639_1, LanguageDetector, LanguageDetectorBuilder

SAMPLE = 160
_SHORTEST_BYTES = 6  # in UTF-8, so that two ideographs are enough and "ok" is not
_SURE = 0.75
_NOISE = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|[\d\W_]+", re.UNICODE)


def detect(text: str | None, languages: Iterable[str]) -> str | None:
    """ISO 639-1 code of the text's language among `languages`, None when too short or unsure.

    A single configured language is its own answer for any text long enough.
    """
    wanted = usable(tuple(languages))
    sample = _sample(text or "")
    if not wanted or len(sample.encode()) < _SHORTEST_BYTES:
        return None
    if len(wanted) == 1:
        return wanted[0]
    best = _detector(wanted).compute_language_confidence_values(sample)[0]
    return best.language.iso_code_639_1.name.lower() if best.value >= _SURE else None


def warm(languages: Iterable[str]) -> None:
    """Load what `detect` needs for these languages."""
    detect("warm the detector up", languages)


@lru_cache(maxsize=256)
def usable(languages: tuple[str, ...]) -> tuple[str, ...]:
    """The languages that can be told apart, as sorted ISO 639-1 codes ("de-AT" counts as "de")."""
    codes = {language.partition("-")[0].lower() for language in languages}
    return tuple(sorted(codes & _known()))


@cache
def _known() -> frozenset[str]:
    return frozenset(name.lower() for name in dir(IsoCode639_1) if len(name) == 2)


@lru_cache(maxsize=64)
def _detector(languages: tuple[str, ...]) -> LanguageDetector:
    codes = [getattr(IsoCode639_1, language.upper()) for language in languages]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()


def _sample(text: str) -> str:
    return _NOISE.sub(" ", text[: SAMPLE * 4]).strip()[:SAMPLE]
