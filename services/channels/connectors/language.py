"""The language a text is written in, out of those a workspace works in.

Cheap enough for the path of a webhook: a short sample; the script decides alone where it can;
lingua's small models, a detector for each set of languages. A script's models take up to a second to
load, and hold the interpreter meanwhile, so shells `warm` what the workspaces use before they are
ready, and what is new when it is first met.

Asked to choose between German and English, a detector calls Spanish one of the two, and is sure of
it. So widespread languages that the workspace does not work in are looked at as well, and where one
of them is much likelier the answer is none.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from lingua import IsoCode639_1, LanguageDetector, LanguageDetectorBuilder

SAMPLE = 160
_SHORTEST_BYTES = 6  # in UTF-8, so that two ideographs are enough and "ok" is not
_SURE = 0.75
_LIKELIER = 4.0
_NOISE = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|[\d\W_]+", re.UNICODE)

# Letters of scripts other than Latin, and the languages that lingua knows in them.
_SCRIPTS: dict[str, tuple[str, frozenset[str]]] = {
    "cyrillic": ("\u0400-\u052f", frozenset({"ru", "uk", "bg", "be", "sr", "mk", "kk", "mn"})),
    "greek": ("\u0370-\u03ff", frozenset({"el"})),
    "hebrew": ("\u0590-\u05ff", frozenset({"he"})),
    "arabic": ("\u0600-\u06ff", frozenset({"ar", "fa", "ur"})),
    "devanagari": ("\u0900-\u097f", frozenset({"hi", "mr"})),
    "bengali": ("\u0980-\u09ff", frozenset({"bn"})),
    "gurmukhi": ("\u0a00-\u0a7f", frozenset({"pa"})),
    "gujarati": ("\u0a80-\u0aff", frozenset({"gu"})),
    "tamil": ("\u0b80-\u0bff", frozenset({"ta"})),
    "telugu": ("\u0c00-\u0c7f", frozenset({"te"})),
    "thai": ("\u0e00-\u0e7f", frozenset({"th"})),
    "georgian": ("\u10a0-\u10ff", frozenset({"ka"})),
    "armenian": ("\u0530-\u058f", frozenset({"hy"})),
    "hangul": ("\u1100-\u11ff\uac00-\ud7af", frozenset({"ko"})),
    "kana": ("\u3040-\u30ff", frozenset({"ja"})),
    "han": ("\u3400-\u9fff", frozenset({"zh", "ja"})),
}
_LETTERS = {name: re.compile(f"[{letters}]") for name, (letters, _) in _SCRIPTS.items()}
_ANY_OTHER = re.compile("[\u0370-\ud7af]")
_NOT_LATIN = frozenset[str]().union(*(languages for _, languages in _SCRIPTS.values()))
_WIDESPREAD = {
    "latin": frozenset({"de", "en", "es", "fr", "it", "nl", "pl", "pt"}),
    "cyrillic": frozenset({"ru", "uk", "bg"}),
    "arabic": frozenset({"ar", "fa"}),
    "han": frozenset({"zh", "ja"}),
    "devanagari": frozenset({"hi", "mr"}),
}


def detect(text: str | None, languages: Iterable[str]) -> str | None:
    """ISO 639-1 code of the text's language among `languages`; None when it is too short, in none of
    them, or not to be told with confidence."""
    wanted = usable(tuple(languages))
    sample = _sample(text or "")
    if not wanted or len(sample.encode("utf-8", "replace")) < _SHORTEST_BYTES:
        return None
    named, compared = _candidates(wanted, _script(sample))
    if len(compared) < 2:
        return named[0] if named else None
    values = [
        (found.language.iso_code_639_1.name.lower(), found.value)
        for found in _detector(compared).compute_language_confidence_values(sample)
    ]
    ours = [(code, value) for code, value in values if code in named]
    best, likelihood = ours[0]
    total = sum(value for _, value in ours)
    sure = likelihood >= _SURE * total > 0 and values[0][1] <= _LIKELIER * likelihood
    return best if sure else _by_words(sample, named, compared)


def warm(languages: Iterable[str]) -> None:
    """Load what `detect` needs for these languages, in each of their scripts."""
    wanted = tuple(languages)
    for words in _WORDS:
        detect(words, wanted)


# A few words in each script in which languages are compared.
_WORDS = (
    "warm the detector up",
    "это просто слова",
    "هذه مجرد كلمات",
    "这只是几个词",
    "यह बस शब्द हैं",
)


@lru_cache(maxsize=256)
def usable(languages: tuple[str, ...]) -> tuple[str, ...]:
    """The languages that can be told apart, as sorted ISO 639-1 codes ("de-AT" counts as "de")."""
    codes = {language.partition("-")[0].lower() for language in languages}
    return tuple(sorted(codes & _known()))


@cache
def _known() -> frozenset[str]:
    return frozenset(name.lower() for name in dir(IsoCode639_1) if len(name) == 2)


@lru_cache(maxsize=1024)
def _candidates(wanted: tuple[str, ...], script: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the wanted languages of a script, those that the text is compared with; none of either where
    it is in a script of no wanted language)."""
    of_script = _SCRIPTS[script][1] if script in _SCRIPTS else _known() - _NOT_LATIN
    named = tuple(code for code in wanted if code in of_script)
    if not named:
        return (), ()
    return named, tuple(sorted({*named, *_WIDESPREAD.get(script, ())}))


def _script(sample: str) -> str:
    """The script of most letters; any kana makes Han Japanese."""
    if sample.isascii() or not _ANY_OTHER.search(sample):
        return "latin"
    counts = {name: len(letters.findall(sample)) for name, letters in _LETTERS.items()}
    most = max(counts, key=counts.__getitem__)
    if most == "han" and counts["kana"]:
        return "kana"
    # Latin letters outweigh some words in another script, but each ideograph is a word.
    others = len(sample) - sample.count(" ") - sum(counts.values())
    weight = 3 if most in ("han", "kana", "hangul") else 1
    return most if counts[most] * weight > others else "latin"


# The commonest words of what customers write: they settle short texts that letters alone do not.
_COMMON = {
    code: frozenset(words.split())
    for code, words in {
        "de": "ich du er sie es wir ihr mein meine meinen der die das den dem ein eine einen ist sind "
        "war habe hat haben nicht kein keine und oder aber mit für auf von zu bei wo wie was wann warum "
        "bitte danke hallo guten kann können möchte will noch immer wurde bekommen vergessen kaputt",
        "en": "i you he she it we they my your the a an is are was were have has had not no and or but "
        "with for on from to at in of this that there where what when why how please thanks thank hello "
        "hi can could want would do does did still been get got forgot anyone help",
        "es": "yo tú él ella nosotros mi mis su el la los las un una es son está están fue he ha no y o "
        "pero con para por en de que dónde cómo qué cuándo gracias hola buenos días puede quiero tengo "
        "todavía muy ayuda",
        "fr": "je tu il elle nous vous mon ma mes votre le la les un une est sont été ai a pas et ou mais "
        "avec pour sur dans de du des que où quoi quand comment merci bonjour peux pouvez veux toujours "
        "oublié très",
        "it": "io tu lui lei noi mio mia il lo la i gli un una è sono stato ho ha non e o ma con per su "
        "di che dove come cosa quando grazie ciao buongiorno posso voglio ancora molto mille",
        "nl": "ik jij hij zij wij mijn uw de het een is zijn was heb heeft niet geen en of maar met voor "
        "op van te bij waar wat wanneer hoe alstublieft bedankt dank hallo kan kunt wil nog",
        "pt": "eu tu ele ela nós meu minha o a os as um uma é são está foi tenho tem não e ou mas com para "
        "por em de que onde como quando obrigado obrigada olá bom posso quero ainda muito",
        "pl": "ja ty on ona my mój moja moje jest są był mam ma nie i lub ale z dla na od do w gdzie co "
        "kiedy jak proszę dziękuję dzień dobry mogę chcę jeszcze bardzo",
        "sv": "jag du han hon vi min mitt mina en ett är var har inte och eller men med för på av till i "
        "vad när hur tack hej kan vill fortfarande",
        "da": "jeg du han hun vi min mit mine en et er var har ikke og eller men med for på af til i hvor "
        "hvad hvornår hvordan tak hej kan vil stadig",
        "tr": "ben sen biz benim bir ve veya ama ile için bu şu ne nerede nasıl zaman lütfen teşekkürler "
        "merhaba değil var yok istiyorum",
    }.items()
}


def _by_words(sample: str, named: tuple[str, ...], compared: tuple[str, ...]) -> str | None:
    """The language that most of the words are common in, where no other has as many."""
    words = set(sample.lower().split())
    counts = sorted(
        ((len(words & _COMMON.get(code, _NONE)), code) for code in compared), reverse=True
    )
    (most, best), (second, _) = counts[0], counts[1]
    return best if most > second and best in named else None


_NONE = frozenset[str]()


@lru_cache(maxsize=64)
def _detector(languages: tuple[str, ...]) -> LanguageDetector:
    codes = [getattr(IsoCode639_1, language.upper()) for language in languages]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()


def _sample(text: str) -> str:
    return _NOISE.sub(" ", text[: SAMPLE * 4]).strip()[:SAMPLE]
