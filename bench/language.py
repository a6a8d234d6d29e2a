"""What the language of a chat message costs, on CPU time of this process."""

import time

from bench.figures import Figure
from services.channels.connectors import language

LANGUAGES = ("de", "en", "es")
MESSAGES = (
    "Meine Rechnung stimmt nicht",
    "Where is my parcel? I have been waiting for two weeks now.",
    "¿Dónde está mi pedido?",
    "ok",
    "Guten Tag, ich habe gestern einen Artikel zurückgeschickt und möchte wissen, wann ich mein Geld "
    "bekomme. Die Bestellnummer ist 4711.",
    "thanks a lot",
    "Je voudrais parler à quelqu'un, s'il vous plaît",
    "Здравствуйте, где моя посылка?",
    "👍",
)
ROUNDS = 500
REPEATS = 3


def run() -> list[Figure]:
    """The mean over messages of different lengths and languages, nothing remembered between them."""
    started = time.process_time()
    language.warm(LANGUAGES)
    loading_s = time.process_time() - started
    best_s = min(_round() for _ in range(REPEATS))
    return [
        Figure(
            name="Language of a chat message",
            value=best_s / ROUNDS / len(MESSAGES) * 1e6,
            unit="µs",
            target=200,
            at_most=True,
            more={"languages": float(len(LANGUAGES)), "loading_s": round(loading_s, 3)},
        )
    ]


def _round() -> float:
    started = time.process_time()
    for _ in range(ROUNDS):
        for text in MESSAGES:
            language.detect(text, LANGUAGES)
    return time.process_time() - started
