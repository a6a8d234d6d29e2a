"""The visible reply of a mail: quotes and signatures go, no word of the customer is ever lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.channels.connectors.email.reply import is_forwarded, reply_of
from tests.mail.cost import cpu_s

QUOTE = "> Where is my parcel?\n> Kim\n"

TOP_POSTED = {
    "english": "On Mon, 2 Mar 2026 at 10:00, Acme <help@acme.example> wrote:",
    "english, wrapped": "On Mon, 2 Mar 2026 at 10:00, A Very Long Name Indeed <\nhelp@acme.example> wrote:",
    "german": "Am 02.03.2026 um 10:00 schrieb Acme <help@acme.example>:",
    "french": "Le 2 mars 2026 à 10:00, Acme <help@acme.example> a écrit :",
    "spanish": "El lun, 2 mar 2026 a las 10:00, Acme (<help@acme.example>) escribió:",
    "italian": "Il giorno lun 2 mar 2026 alle ore 10:00 Acme <help@acme.example> ha scritto:",
    "dutch": "Op ma 2 mrt. 2026 om 10:00 schreef Acme <help@acme.example>:",
    "portuguese": "Em seg., 2 de mar. de 2026 às 10:00, Acme <help@acme.example> escreveu:",
    "polish": "pon., 2 mar 2026 o 10:00 Acme <help@acme.example> napisał(a):",
    "russian": "2 марта 2026 г. 10:00 пользователь Acme <help@acme.example> написал:",
    "ukrainian": "2 бер. 2026 р. 10:00 Acme <help@acme.example> пише:",
    "swedish": "Den mån 2 mars 2026 kl 10:00 skrev Acme <help@acme.example>:",
    "danish": "Den man. 2. mar. 2026 kl. 10.00 skrev Acme <help@acme.example>:",
    "chinese": "在 2026年3月2日，上午10:00，Acme <help@acme.example> 写道：",
    "gmail's short form": "2026-03-02 10:00 GMT+01:00 Acme <help@acme.example>:",
    "gmail, russian": "пн, 2 мар. 2026 г. в 10:00, Acme <help@acme.example>:",
    "gmail, german": "Am Mo., 2. März 2026 um 10:00 Uhr schrieb Acme <help@acme.example>:",
    "gmail, portuguese": "Acme <help@acme.example> escreveu (segunda, 2/03/2026 à(s) 10:00):",
    "gmail, norwegian": "man. 2. mars 2026 kl. 10:00 skrev Acme <help@acme.example>:",
    "gmail, finnish": "ma 2. maalisk. 2026 klo 10.00 Acme (help@acme.example) kirjoitti:",
    "gmail, czech": "po 2. 3. 2026 v 10:00 odesílatel Acme <help@acme.example> napsal:",
    "gmail, hungarian": "Acme <help@acme.example> ezt írta (időpont: 2026. márc. 2., H, 10:00):",
    "gmail, romanian": "În lun., 2 mar. 2026 la 10:00, Acme <help@acme.example> a scris:",
    "gmail, turkish": "Acme <help@acme.example>, 2 Mar 2026 Pzt, 10:00 tarihinde şunu yazdı:",
    "gmail, greek": "Στις Δευ 2 Μαρ 2026 στις 10:00, ο χρήστης Acme <help@acme.example> έγραψε:",
    "gmail, bulgarian": "На пн, 2.03.2026 г. в 10:00 Acme <help@acme.example> написа:",
    "gmail, chinese": "Acme <help@acme.example> 于2026年3月2日周一 10:00写道：",
    "gmail, taiwanese": "Acme <help@acme.example> 於 2026年3月2日 週一 上午10:00寫道：",
    "gmail, japanese": "2026年3月2日(月) 10:00 Acme <help@acme.example>:",
    "gmail, korean": "2026년 3월 2일 (월) 오전 10:00, Acme <help@acme.example>님이 작성:",
    "gmail, vietnamese": "Vào Th 2, 2 thg 3, 2026 vào lúc 10:00 Acme <help@acme.example> đã viết:",
    "gmail, indonesian": "Pada tanggal Sen, 2 Mar 2026 pukul 10.00 Acme <help@acme.example> menulis:",
    "apple, dutch": "Op 2 mrt. 2026 om 10:00 heeft Acme <help@acme.example> het volgende geschreven:",
    "apple, no address": "On 2 Mar 2026, at 10:00, Acme wrote:",
    "thunderbird, german": "Am 02.03.26 um 10:00 schrieb Acme:",
    "thunderbird, french": "Le 02/03/2026 à 10:00, Acme a écrit :",
    "notes": "Acme <help@acme.example> wrote on 02.03.2026 10:00:00:",
    "yahoo, german": "Am Montag, 2. März 2026 um 10:00:00 MEZ hat Acme <help@acme.example> Folgendes geschrieben:",
    "gmail, hindi": "सोम, 2 मार्च 2026 को 10:00 am बजे को Acme <help@acme.example> ने लिखा:",
    "gmail, serbian": "пон, 2. мар 2026. у 10:00 Acme <help@acme.example> је написао/ла:",
    "gmail, croatian": "pon, 2. ožu 2026. u 10:00 Acme <help@acme.example> napisao je:",
    "mail.ru": "Понедельник, 2 марта 2026, 10:00 +03:00 от Acme <help@acme.example>:",
    "yandex": '02.03.2026, 10:00, "Acme" <help@acme.example>:',
    "netease": 'At 2026-03-02 10:00:00, "Acme" <help@acme.example> wrote:',
    "yahoo": "On Monday, March 2, 2026 at 10:00:00 AM GMT+1, Acme <help@acme.example> wrote:",
    "proton": "On Monday, March 2nd, 2026 at 10:00 AM, Acme <help@acme.example> wrote:",
}


@pytest.mark.parametrize("line", TOP_POSTED.values(), ids=TOP_POSTED)
def test_an_attribution_and_its_quote_go(line: str) -> None:
    assert reply_of(f"It arrived, thanks!\n\n{line}\n\n{QUOTE}") == "It arrived, thanks!"


@pytest.mark.parametrize("line", TOP_POSTED.values(), ids=TOP_POSTED)
def test_history_without_marks_goes_too(line: str) -> None:
    assert reply_of(f"It arrived.\n\n{line}\n\nWhere is it?\n\nKim\n") == "It arrived."


@pytest.mark.parametrize(
    "line",
    ["בתאריך 2.3.2026 ב-10:00 מאת Acme <help@acme.example>:",
     "في 2 مارس 2026 10:00، Acme <help@acme.example>:",
     "Mar 2, 2026, 10:00 by help@acme.example:",
     "ในวันที่ 2 มี.ค. 2026 10:00 Acme (help@acme.example):"],
)  # fmt: skip
def test_an_attribution_in_any_language_goes_with_its_marked_quote(line: str) -> None:
    assert reply_of(f"Thanks!\n\n{line}\n\n{QUOTE}") == "Thanks!"


SEPARATORS = {
    "outlook": "-----Original Message-----\nFrom: Acme\nSent: Monday\nTo: Kim\nSubject: Parcel",
    "outlook, german": "-----Ursprüngliche Nachricht-----\nVon: Acme\nGesendet: Montag\nAn: Kim",
    "a rule and headers": "________________________________\nFrom: Acme\nSent: Monday\nTo: Kim\n",
    "bold headers": "*From:* Acme <help@acme.example>\n*Sent:* Monday\n*To:* Kim\n*Subject:* Parcel",
    "french headers": "De : Acme\nEnvoyé : lundi\nÀ : Kim\nObjet : Colis",
    "gmx": "Gesendet: Montag, 2. März 2026 um 10:00 Uhr\nVon: Acme <help@acme.example>\nAn: Kim",
    "samsung": "-------- Ursprüngliche Nachricht --------\nVon: Acme\nDatum: 02.03.26 10:00",
    "zimbra": "----- Mail original -----\nDe: Acme\nÀ: Kim",
    "dutch": "-----Oorspronkelijk bericht-----\nVan: Acme",
    "swedish": "-----Ursprungligt meddelande-----\nFrån: Acme",
    "danish headers": "Fra: Acme <help@acme.example>\nSendt: mandag\nTil: Kim\nEmne: Pakke",
    "finnish headers": "Lähettäjä: Acme\nLähetetty: maanantai\nVastaanottaja: Kim\nAihe: Paketti",
    "polish headers": "Od: Acme\nWysłano: poniedziałek\nDo: Kim\nTemat: Paczka",
    "czech headers": "Od: Acme\nOdesláno: pondělí\nKomu: Kim\nPředmět: Balík",
    "hungarian headers": "Feladó: Acme\nElküldve: hétfő\nCímzett: Kim\nTárgy: Csomag",
    "turkish headers": "Kimden: Acme\nGönderildi: Pazartesi\nKime: Kim\nKonu: Paket",
    "russian headers": "От: Acme\nОтправлено: понедельник\nКому: Kim\nТема: Посылка",
    "ukrainian headers": "Від: Acme\nНадіслано: понеділок\nКому: Kim\nТема: Посилка",
    "portuguese headers": "De: Acme\nEnviada em: segunda-feira\nPara: Kim\nAssunto: Encomenda",
    "spanish headers": "De: Acme\nEnviado el: lunes\nPara: Kim\nAsunto: Paquete",
    "greek headers": "Από: Acme\nΣτάλθηκε: Δευτέρα\nΠρος: Kim\nΘέμα: Δέμα",
    "chinese headers": "发件人: Acme\n发送时间: 2026年3月2日 10:00\n收件人: Kim\n主题: 包裹",
    "foxmail": "------------------ 原始邮件 ------------------\n发件人: Acme",
    "japanese headers": "差出人: Acme\n送信日時: 2026年3月2日 10:00\n宛先: Kim\n件名: 荷物",
    "korean headers": "보낸 사람: Acme\n보낸 날짜: 2026년 3월 2일\n받는 사람: Kim\n제목: 소포",
    "daum": "--------- 원본 메일 ---------\n보낸사람: Acme",
    "thai headers": "จาก: Acme <help@acme.example>\nส่ง: วันจันทร์\nถึง: Kim\nเรื่อง: x",
    "croatian headers": "Od: Acme\nPoslano: ponedjeljak\nPrima: Kim\nPredmet: x",
    "serbian headers": "Шаље: Acme\nПослато: понедељак\nПрима: Kim\nТема: x",
    "norwegian headers": "Fra: Acme <help@acme.example>\nDato: mandag\nTil: Kim\nEmne: x",
    "headers, twice bold": "**From:** Acme\n**Sent:** Monday\n**To:** Kim\n**Subject:** x",
    "headers, subject first": "Subject: x\nTo: Kim\nFrom: Acme <help@acme.example>\nDate: Monday",
    "proton, old": "‐‐‐‐‐‐‐ Original Message ‐‐‐‐‐‐‐\nOn Monday, Acme wrote:",
    "a helpdesk's mark": "##- Please type your reply above this line -##",
    "zoho": "---- On Mon, 02 Mar 2026 10:00:00 +0100 Acme <help@acme.example> wrote ----",
}


@pytest.mark.parametrize("block", SEPARATORS.values(), ids=SEPARATORS)
def test_a_separator_ends_the_reply(block: str) -> None:
    assert reply_of(f"It arrived.\n\n{block}\n\nOld text\n") == "It arrived."


@pytest.mark.parametrize(
    "words",
    ["My answers are in red below.", "Siehe meine Antworten unten.", "Voir mes réponses ci-dessous.",
     "See inline.", "Ver respuestas abajo", "Zie hieronder", "См. ответы ниже"],
)  # fmt: skip
def test_history_that_holds_the_answers_stays(words: str) -> None:
    text = f"{words}\n\n{SEPARATORS['outlook']}\n\nWhen did it come?\nOn Monday.\n"
    assert "On Monday." in reply_of(text)


FORWARDS = {
    "gmail": "---------- Forwarded message ---------\nFrom: Acme\nDate: Monday\nSubject: x\n\n> a\n\nOld",
    "apple": "Begin forwarded message:\n\nFrom: Acme\nSubject: x\nDate: Monday\nTo: Kim\n\nOld",
    "apple, marked": "> Begin forwarded message:\n>\n> From: Acme\n> Subject: x\n>\n> Old",
    "thunderbird": "-------- Weitergeleitete Nachricht --------\nBetreff: x\nVon: Acme\n\nOld",
    "french": "-------- Message transféré --------\nSujet : x\nDe : Acme\n\nOld",
}


@pytest.mark.parametrize("block", FORWARDS.values(), ids=FORWARDS)
def test_what_a_mail_forwards_is_what_it_says(block: str) -> None:
    assert reply_of(f"See below.\n\n{block}") == f"See below.\n\n{block}"


def test_an_outlook_forward_is_known_by_its_subject() -> None:
    text = "Can you help?\n\nFrom: Shop <shop@x.example>\nSent: Monday\nTo: Kim\nSubject: x\n\nOld"
    assert reply_of(text) == "Can you help?"
    assert reply_of(text, forwarded=True) == text
    for subject in (
        "Fwd: x",
        "FW: x",
        "WG: x",
        "TR : x",
        "RV: x",
        "ENC: x",
        "[x] Fw: y",
        "转发：x",
    ):
        assert is_forwarded(subject), subject
    for subject in ("Re: Fwd: x", "AW: x", "Forward: please", "Weiter", "Interest: 4 %", ""):
        assert not is_forwarded(subject), subject


def test_an_answer_to_a_forward_ends_at_its_own_quote() -> None:
    quote = "> Begin forwarded message:\n>\n> From: Acme\n"
    assert reply_of(f"Thanks!\n\nOn 2.3.2026 10:00 a@b.example wrote:\n\n{quote}") == "Thanks!"


@pytest.mark.parametrize(
    "tail",
    ["-- \nKim Example\nExample Ltd", "--\nKim", "Sent from my iPhone", "Von meinem iPhone gesendet",
     "Envoyé de mon iPhone", "Get Outlook for iOS<https://aka.ms/x>", "Enviado desde mi iPhone",
     "Inviato da iPhone", "Verzonden vanaf mijn iPhone", "Skickat från min iPhone", "Sendt fra min iPhone",
     "Отправлено с iPhone", "Wysłane z mojego iPhone'a", "发自我的iPhone", "iPhoneから送信",
     "iPhone'umdan gönderildi", "나의 iPhone에서 보냄", "Sent with Proton Mail secure email.",
     "Outlook für Android herunterladen", "Télécharger Outlook pour iOS", "Sent from Yahoo Mail on Android",
     "Diese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.",
     "Sent from Outlook for Android<https://aka.ms/x>", "— \nKim", "Get BlueMail for Android",
     "Sent from my Galaxy", "Sent from AT&T Yahoo Mail for iPhone", "Sent from my phone. Please excuse typos.", "(sent from a phone)",
     "Sent with [Proton Mail](https://proton.me/) secure email.", "Sent from Mail for Windows 10",
     "Get [Outlook for iOS](https://aka.ms/x)", "Отправлено из мобильного приложения Яндекс Почты",
     "_______________________________________________\nUsers mailing list\nhttps://lists.example/users",
     "--\nThis email has been checked for viruses by an antivirus program."],
)  # fmt: skip
def test_signatures_go(tail: str) -> None:
    assert reply_of(f"Thank you.\n\n{tail}\n") == "Thank you."
    assert reply_of(f"Thank you.\n\n{tail}\n\nOn 2.3.2026 10:00 a@b.example wrote:\n{QUOTE}") == (
        "Thank you."
    )


def test_answers_between_quotes_keep_the_quotes() -> None:
    mail = f"{QUOTE}\nIt has arrived.\n\n> And the invoice?\n\nThat too."
    assert reply_of(mail) == mail


def test_an_answer_below_the_quote_is_the_reply() -> None:
    mail = f"On 2.3.2026 10:00, Acme <help@acme.example> wrote:\n{QUOTE}\nIt has arrived.\n"
    assert reply_of(mail) == "It has arrived."


@pytest.mark.parametrize(
    "text",
    [
        "Yesterday I wrote:\nplease cancel my order.\nNobody answered.",
        "Am 12.03.2026 um 10:00 schrieb ich Ihnen:\nBitte kündigen Sie.\nBis heute nichts.",
        "On 12 March 2026 at 10:00 I wrote:\nplease cancel.\nNothing happened.",
        "Your colleague wrote in 2025:\nthat I may return it.\nIs that so?",
        "From: the shop in Berlin\nI bought a lamp.",
        "My address:\nKim\nMain Street 1\n-----\nThank you!",
        "Note:\n______\nfirst\nsecond\n",
        "> only a quote",
        "--\nKim",
        "Order list --- original packaging --- please",
        "I wrote to support@acme.example: no answer since 2026!",
        "My trip:\nFrom: Berlin\nTo: Paris\nDate: 3 March 2026\nPlease book it.",
        "Von: Berlin\nNach: Paris\nDatum: 3.3.2026\nBitte buchen.",
        "It says:\n----- Error message -----\ndisk full\nWhat now?",
        "--- My message ---\nPlease help.\n--- End ---",
        "Is it there?\nSent by DHL on Monday",
        "Where is it?\nSent from Berlin on Tuesday",
        "Envoyé par la poste lundi",
        "Enviado por correo el lunes",
        "On 12 March 2026 at 10:00 your colleague Kim wrote:\nit is on its way.\nIt is not here.",
        "Am 12.03.2026 um 10:00 hat mir Ihr Kollege geschrieben:\nEs kommt.\nEs kam nie.",
        "Order 1\n--\nOrder 2\n--\nOrder 3",
        "Two things.\n--\nDo you ship to Norway?",
        "Please send it to Kim <kim@x.example> by 12.03.2026 10:00:\nMain Street 1",
        "---------\nMy list\n---------\nlamp",
        "Hello\n\nDate: 3 March\nTime: 10:00\nTo: nobody",
        # lines that begin like a device's signature
        "Please remove the charge\nfrom my account.",
        "Hello\n\nFrom my point of view it is broken.",
        "Hello\n\nI cannot order from mobile",
        "Where is it?\n\nSent by mail last Monday, no answer.",
        "The parcel was\nsent from my office in Berlin.",
        "Hi\n\nPosted from my office, returned by you.",
        "Bonjour\n\nEnvoyé par mail hier, sans réponse.",
        "Das Paket wurde\nvon meinem Nachbarn gesendet",
        "Das Paket\n\nVon meinem Nachbarn gesendet",
        "How do I\n\nGet Outlook for Mac working?",
        "请退款\n从我的账户扣了两次",
        # delimiters within what somebody says
        "First thing is broken.\n--\nThe second thing works well.",
        "first thing is broken\n--\nsecond thing works again",
        "Please change:\n--\nMy new address is Main Street 1.\nThanks",
        "Order:\n--\n2 lamps\n1 table",
        "Thanks\n\n-- \nKim\n\nPS: please call me at noon.",
        "> Which colour?\n--------------------\nRed please.",
        # forms and calendars
        "Contact form\n\nFrom: Kim <kim@x.example>\nSubject: complaint\nDate: 2.3.2026\n\nIt is lost.",
        "Anfrage\n\nVon: Kim <kim@x.example>\nBetreff: Paket\nDatum: 2.3.2026\nTelefon: 1\n\nEs ist weg.",
        "Name: Kim\nFrom: Berlin\nSent: 2 parcels\nSubject: complaint\n\nThey are lost.",
        "See you\n\nFrom: 10:00\nTo: 12:00\nDate: Monday\nSubject: Meeting\n\nBring cake",
        # a mail that the customer shows
        "I got this mail:\n\nFrom: A <a@b.example>\nSent: Monday\nTo: Kim\nSubject: x\n\nPay!\n\nIs it a scam?",
        "You sent me this:\n-----Original Message-----\nFrom: Acme\n\nPay!\n\nIs it a scam?",
        "It prints:\n\n> run build\n> error: no such file",
        "Hello,\n\nOn 2 March 2026 at 10:00 you wrote:\nIt will arrive tomorrow.\n\nIt did not!",
        "Hallo,\n\nam 02.03.2026 um 10:00 hat Frau Meyer geschrieben:\nEs kommt.\n\nEs kam nie.",
    ],
)
def test_what_only_looks_like_history_stays(text: str) -> None:
    assert reply_of(text).split() == text.split()


def test_below_an_attribution_that_opens_the_mail_is_the_reply() -> None:
    mail = (
        "On 2 Mar 2026 10:00, Kim <kim@x.example> wrote:\n\nThis is what I meant.\n\n"
        "On 1 Mar 2026 10:00, Acme <help@acme.example> wrote:\n\n> What?\n\nSee you"
    )
    assert reply_of(mail).split() == "This is what I meant. > What? See you".split()


def test_the_name_of_a_quotes_writer_goes_with_it() -> None:
    assert reply_of("Thanks\n\nKim Example wrote:\n> old\n") == "Thanks"
    text = "Kim Example wrote:\nold"
    assert reply_of(text) == text


def test_several_attributions_in_a_row_take_no_customer_line() -> None:
    mail = (
        "Mine\nOn 1.1.2026 10:00 a@b.example wrote:\nOn 2.1.2026 10:00 c@d.example wrote:\n"
        "> old\n\nMine too"
    )
    kept = reply_of(mail)
    assert "Mine" in kept.splitlines() and "Mine too" in kept


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_a_reply_out_of_it(text: str) -> None:
    reply = reply_of(text)
    assert bool(reply.strip()) == bool(text.strip())
    assert set(reply.replace("\n", "")) <= set(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["plain words", "more words", "> quoted", ""]), max_size=12))
def test_unquoted_lines_are_never_lost_without_history(lines: list[str]) -> None:
    kept = reply_of("\n".join(lines)).splitlines()
    wanted = [line for line in lines if line and not line.startswith(">")]
    assert [line for line in kept if line in ("plain words", "more words")] == wanted


@pytest.mark.parametrize(
    "line",
    ["On 1.1.2020 12:00 a@b.example wrote:", "From: x\nTo: y", "-" * 399, "--- " * 99, "> x\n--",
     " " * 390 + "x:", "From: a@b.example", "Sent from my x", "--- Forwarded ", "your " * 70 + "wrote:",
     "1.1.2020 10:00 <a@b> " * 12 + ":", "sent from " * 19 + "x!", "On a wrote: " * 30],
)  # fmt: skip
def test_cost_grows_with_length_only(line: str) -> None:
    """A pattern of quadratic cost would take minutes here."""

    def cost(count: int) -> float:
        text = f"{line}\n" * count
        return cpu_s(lambda: reply_of(text))

    small = max(min(cost(200) for _ in range(3)), 1e-4)
    assert cost(1600) < small * 8 * 12
