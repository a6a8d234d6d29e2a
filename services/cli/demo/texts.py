"""What the demo's customers say and its agents answer."""

from typing import Literal

import msgspec

Via = Literal["whatsapp", "messenger", "call", "mail", "web"]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One matter of a customer: what is said first, what it is corrected to (an edit), and what
    follows after an answer. `topic` is what a web form knows."""

    via: Via
    language: str
    first: str
    corrected: str | None = None
    more: tuple[str, ...] = ()
    subject: str = ""
    topic: str | None = None


STORIES: tuple[Story, ...] = (
    Story(
        via="whatsapp",
        language="de",
        first="Guten Tag, auf meiner Rechnung für März steht der falsche Betrag.",
        more=("Vielen Dank, das ging schnell!",),
    ),
    Story(
        via="messenger",
        language="es",
        first="Hola, me han cobrado dos veces la misma factura este mes.",
        corrected="Hola, me han cobrado tres veces la misma factura este mes.",
    ),
    Story(
        via="call",
        language="en",
        first="Hello, my internet connection stopped working this morning.",
        more=("Yes, the light on the router is red.", "Great, now it works again."),
    ),
    Story(
        via="mail",
        language="en",
        subject="Refund for order 4711",
        first="Hello,\n\nI was charged for an order that never arrived. Please send me a refund.\n\n"
        "Kind regards\n",
        more=("Thank you, I have received the money.\n",),
    ),
    Story(
        via="web",
        language="en",
        topic="tech",
        first="The installation stops with an error after the second step.",
        more=("It says: permission denied.",),
    ),
    Story(
        via="whatsapp",
        language="en",
        first="Hi, could you tell me when your shop opens on Saturday?",
    ),
    Story(
        via="whatsapp",
        language="es",
        first="Buenos días, necesito una copia de mi factura del mes pasado.",
        more=("Muchas gracias por la ayuda.",),
    ),
    Story(
        via="mail",
        language="de",
        subject="Internet funktioniert nicht",
        first="Sehr geehrte Damen und Herren,\n\nseit gestern funktioniert mein Internet nicht mehr. "
        "Der Router zeigt einen Fehler.\n\nMit freundlichen Grüßen\n",
    ),
    Story(
        via="messenger",
        language="en",
        first="My invoice shows a subscription that I cancelled last year.",
        corrected="My invoice shows a subscription that I cancelled two years ago.",
        more=("Thanks, that explains it.",),
    ),
    Story(
        via="call",
        language="de",
        first="Guten Morgen, von meinem Konto wurde zu viel abgebucht.",
        more=("Ja genau, es sind zwanzig Euro zu viel.",),
    ),
    Story(
        via="messenger",
        language="de",
        first="Hallo, ich möchte gerne meine Lieferadresse ändern, wie geht das?",
    ),
    Story(
        via="web",
        language="es",
        topic="billing",
        first="Quiero cambiar la forma de pago de mi contrato, por favor.",
    ),
    Story(
        via="call",
        language="es",
        first="Hola, la conexión a internet de mi casa no funciona desde ayer.",
        more=("Sí, ya he reiniciado el router dos veces.",),
    ),
    Story(
        via="whatsapp",
        language="de",
        first="Das ist schon der dritte Versuch, ich möchte bitte mit einem Vorgesetzten sprechen!",
    ),
    Story(
        via="mail",
        language="es",
        subject="Cambio de dirección",
        first="Buenas tardes:\n\nme he mudado y quiero cambiar la dirección de mi contrato.\n\n"
        "Un saludo\n",
    ),
)

# First name and surname of customers; ids are made from their place.
NAMES: tuple[str, ...] = (
    "Kim Weber",
    "Lucía Gómez",
    "Tom Fischer",
    "Amelia Clark",
    "Jonas Keller",
    "Marta Ortega",
    "Oliver Hughes",
    "Greta Vogel",
    "Diego Navarro",
    "Nora Quinn",
    "Paul Schuster",
    "Elena Rivas",
)

ANSWERS: dict[str, tuple[str, ...]] = {
    "de": (
        "Guten Tag, ich sehe mir das sofort an und melde mich gleich.",
        "Vielen Dank für Ihre Nachricht. Ich habe das für Sie berichtigt.",
        "Das tut mir leid. Die Gutschrift ist unterwegs.",
    ),
    "es": (
        "Hola, ahora mismo reviso su caso.",
        "Gracias por escribirnos. Ya está corregido.",
        "Lo siento mucho. El importe se devolverá en dos días.",
    ),
    "en": (
        "Hello, let me have a look at that for you.",
        "Thank you for telling us. I have corrected it.",
        "I am sorry about that. Please try again now, it should work.",
    ),
}
