"""Which language a message is in: only when it is one of the workspace's, and only when sure."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.channels.connectors.handling import handle
from services.channels.connectors.language import SAMPLE, detect
from services.channels.connectors.registry import get


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Wo bleibt mein Paket?", "de"),
        ("I have been waiting for two weeks", "en"),
        ("Where is my parcel?", "en"),
        ("thanks a lot", "en"),
        ("Passwort vergessen", "de"),
        ("muchas gracias", "es"),
        ("Llevo dos semanas esperando", "es"),
        ("https://example.org/a?b=c Wo bleibt mein Paket? kim@example.org 4711", "de"),
        ("Wo bleibt mein Paket? " + "x" * 100_000, "de"),
    ],
)
def test_a_language_of_the_workspace(text: str, wanted: str) -> None:
    assert detect(text, ("de", "en", "es")) == wanted


@pytest.mark.parametrize(
    "text",
    ["Où est mon colis ? J'attends depuis deux semaines", "Gdzie jest moja paczka?",
     "Где моя посылка?", "我的发票有问题", "Πού είναι το δέμα μου;", "ok", "!!!", "4711", "👍👍👍👍"],
)  # fmt: skip
@pytest.mark.parametrize("languages", [("de",), ("de", "en")])
def test_another_language_is_none_of_them(text: str, languages: tuple[str, ...]) -> None:
    assert detect(text, languages) is None


@pytest.mark.parametrize(
    ("text", "languages", "wanted"),
    [
        ("Πού είναι το δέμα μου;", ("en", "el"), "el"),
        ("荷物はどこですか", ("ja", "zh"), "ja"),
        ("제 택배는 어디에 있나요", ("ko", "en"), "ko"),
        ("我的 iPhone 订单在哪里", ("zh", "en"), "zh"),
        ("Добрий день, рахунок неправильний, допоможіть будь ласка", ("ru", "uk"), "uk"),
        ("I cannot find my order, it was sent to Москва", ("ru", "en"), "en"),
        ("איפה החבילה שלי", ("he", "ar"), "he"),
    ],
)
def test_scripts_decide_where_they_can(text: str, languages: tuple[str, ...], wanted: str) -> None:
    assert detect(text, languages) == wanted


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=SAMPLE * 5), st.sets(st.sampled_from(["de", "en", "zh", "ru", "xx"])))
def test_any_text_has_a_language_of_the_workspace_or_none(text: str, languages: set[str]) -> None:
    assert detect(text, sorted(languages)) in {None, *languages}


def test_no_model_is_loaded_before_it_is_needed() -> None:
    code = (
        "import services.channels.connectors.language as l, services.channels.connectors.handling\n"
        "print(l._detector.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_warming_loads_the_models_of_every_script() -> None:
    """The first message in a script must not stop all calls while its models are loaded."""
    code = (
        "import time, services.channels.connectors.language as l\n"
        "began = time.thread_time()\n"
        "l.warm(('de', 'en', 'ru', 'uk'))\n"
        "warmed = time.thread_time()\n"
        "l.detect('Где моя посылка?', ('de', 'en', 'ru', 'uk'))\n"
        "print((warmed - began) / (time.thread_time() - warmed))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 10, "the first Russian text loads as much as warming did"


def test_what_all_workspaces_speak_is_loaded_at_the_start() -> None:
    code = (
        "import asyncio, services.channels.connectors.language as l\n"
        "from types import SimpleNamespace as Some\n"
        "from services.cli.languages import load_languages\n"
        "rows = [('a', {}), ('b', {'languages': ['de', 'en']}), ('c', {'languages': ['ru']})]\n"
        "class Platform:\n"
        "    async def workspaces(self, *, after, limit):\n"
        "        return [Some(id=i, settings=s) for i, s in rows if i > after][:1]\n"
        "asyncio.run(load_languages(Platform()))\n"
        "print(l._detector.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"


def spoken(kind: str) -> list[str | None]:
    """The languages of the texts of a kind's examples, detected on the way in."""
    connector = get(kind)
    found: list[str | None] = []
    for example in connector.examples():
        handled = handle(
            connector,
            connector.settings(),
            example.secrets,
            example.request,
            connector_id="c",
            workspace="w",
            languages=("de", "en", "es"),
            trial=True,
        )
        found += [each.interaction.language for each in handled.events]
    return found


@pytest.mark.parametrize(
    "kind", ["email_mime", "web_chat", "whatsapp_cloud", "twilio_sms", "messenger"]
)
def test_every_kind_has_its_language_detected(kind: str) -> None:
    assert any(spoken(kind))
