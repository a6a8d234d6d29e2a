"""The words by which mail programs, in many languages, mark what is not the sender's own now: the
line above a quote, separators, headers within the text."""

import re

# --- "On Monday Kim wrote:" ---------------------------------------------------------------------

_WROTE = (
    r"wrote|writes|schrieb|geschrieben|a écrit|ecrit|écrit|escribió|escribio|escribe|va escriure"
    r"|escreveu|ha scritto|scrisse|schreef|heeft .{0,80}geschreven|geschreven|skrev|skrifaði"
    r"|kirjoitti|kirjutas|rakstīja|rašė|napisał\(a\)|napisał|napisała|pisze|napsal(?:\(a\))?"
    r"|napsala|napísal(?:\(a\))?|napisao(?: je)?|napisala?|je napisal|írta|yazdı|a scris"
    r"|написал(?:\(а\)|а)?|написав|пише|пишет|написа|έγραψε|כתב/ה|כתבה?|كتب|đã viết|เขียน"
    r"|написао(?:/ла)?|написала|ने लिखा|نوشت|menulis|写道|寫道|のメッセージ|のメール|さんは書きました|書きました"
    r"|작성|님이 씀"
)
ATTRIBUTION = re.compile(
    rf"(?is)(?:\b|(?<=\s)|(?<=[\W\d]))(?:{_WROTE})(?:[^:：]{{0,200}}[:：]){{1,4}}\s*\Z"
)
EVIDENCE = re.compile(r"@|\d{1,2}[:.h]\d{2}|\b(?:19|20)\d\d\b|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
STAMP = re.compile(r"@|\d{1,2}[:.h]\d{2}|\b(?:19|20)\d\d-\d\d-\d\d\b")
# A customer who tells of an earlier mail: "On Monday at 10:00 I wrote:", "your colleague wrote:".
TELLING = re.compile(
    r"(?i)\b(?:i|we|ich|wir|je|nous|yo|nosotros|io|noi|ik|wij|eu|jag|jeg|я|мы)\s+(?:\w+\s+)?"
    rf"(?:{_WROTE})|\b(?:schrieb|schrieben) (?:ich|wir|man|mir|uns)\b|\bj'ai écrit"
    r"|\b(?:escribí|scrissi|escrevi|m'a écrit|me escribió|mi ha scritto|me escreveu)\b"
    r"|\b(?:your|our|my|his|her|their|the|ihre?|meine?|unsere?|votre|notre|mon|ma|vuestro|vostro|suo"
    r"|mio|uw|mijn|onze|vår|min|er|din|ваш|наш|мой)\s+(?:\w+\s+){0,3}(?:on .{0,40})?(?:[\w.-]+\s+)?"
    rf"(?:{_WROTE})\b"
    rf"|\b(?:{_WROTE}) (?:your|our|my|ihre?|meine?|unsere?)\b"
)
# The same, where nothing marks what follows as a quote; above a quote programs write "you wrote:" too.
TELLING_UNMARKED = re.compile(
    r"(?i)\b(?:you|he|she|they|somebody|someone|sie|ihr|er|du|vous|il|elle|usted|ustedes|lei|voi|u|jullie"
    rf"|hij|zij|você|вы|он|она)\s+(?:\w+\s+)?(?:{_WROTE})|\b(?:schrieb|schrieben) (?:sie|er|ihr|du)\b"
    r"|\bhat(?:te|ten)?\b(?!.*folgendes).*\bgeschrieben|\b(?:schreef|skrev) (?:u|je|hij|zij|du|ni|de)\b"
)
# No date, no address: what some programs write above the quote they mark.
NAMED_WRITER = re.compile(
    r"\A\s*[\"'(]?[^\W\d_a-z][^:\n]{0,60}\s(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|skrev"
    r"|escreveu|kirjoitti|napsal|napisał\(a\)|написал|пишет)\s?:\s*\Z"
)
# Any language: a time, an address in brackets or at the end, a colon. Only above what is marked as quoted.
ANY_ATTRIBUTION = re.compile(
    r"(?s)\A(?=.{0,200}\d{1,4}[:.h年/-]\s?\d{1,2}).{0,200}(?:[<(\[]\s*[^<>\s()]+@[^<>\s()]+\s*[)>\]].{0,80}"
    r"|\s[^<>\s()]{1,64}@[^<>\s():]{1,120}\s?)[:：]\s*\Z"
)
# A webmail that names whom it quotes and no time: Horde. Only above what is marked as quoted.
QUOTING = re.compile(
    r"(?i)\A\s*(?:quoting|zitat von|citando(?: a)?|citeren van|citation de|cytowanie|citerar|citat fr[åa]n"
    r"|quotando|citováno od|idézet)\s.{1,160}[:：]\s*\Z"
)
# Begins with a date and names nobody but by an address: Gmail where it writes no verb.
DATED_SENDER = re.compile(
    r"\A\s*(?:[^\W\d]{1,12}\.?,? ?)?\d{1,4}[-./년年 ].{0,120}<\s*[^<>\s]+@[^<>\s]+\s*>\s*[:：]\s*\Z"
)
ZOHO = re.compile(
    r"(?i)\A\s*-{2,}\s.{0,300}\b(?:wrote|schrieb|escribió|a écrit|ha scritto|escreveu)\s*-{2,}\s*\Z"
)
# How the first line of a wrapped attribution begins: "On Mon, 2 Mar", "Am 02.03.", a date.
INTRO = re.compile(
    r"(?i)\A[\s>]*(?:(?:on|at|am|le|el|il|op|em|den|på|în|na|v|w dniu|dnia|dne|vào|pada|στις)\b.{0,40}\d"
    r"|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}\.? [^\W\d]{2,12}\.? \d{4}|在 ?\d|\d{4}年)"
)

# --- separators ---------------------------------------------------------------------------------

_MESSAGE = (
    r"message|mail|e-mail|email|nachricht|mensaje|correo|mensagem|messaggio|bericht|meddelande|besked"
    r"|meddelelse|melding|viesti|wiadomość|zpráva|správa|üzenet|mesaj|ileti|poruka|sporočilo|μήνυμα"
    r"|сообщение|письмо|повідомлення|лист|съобщение|הודעה|pesan|thư"
)
_ORIGINAL_WORD = (
    r"original|originale?|originel|d.origine|ursprüngliche|oorspronkelijk|ursprungligt|oprindelig"
    r"|opprinnelig|alkuperäinen|oryginalna|původní|pôvodná|eredeti|orijinal|özgün|izvorna|izvirno"
    r"|αρχικό|исходное|оригинальное|оригинално|вихідне|початкове|asli|gốc|reply"
)
_ORIGINAL = (
    rf"(?:{_ORIGINAL_WORD})[ -](?:{_MESSAGE})|(?:{_MESSAGE})[ -](?:{_ORIGINAL_WORD})"
    r"|original-(?:nachricht|mail)|原始|原邮件|原文|元のメ|원본|رسالة أصلية|الرسالة الأصلية|הודעה מקורית"
    r"|ข้อความเดิม|please reply above|reply above|antworten sie oberhalb|répondre au-dessus"
)
_RULED = "-_=‐‑–—─"
SEPARATOR = re.compile(
    rf"(?i)\A[\s>*]*[{_RULED}]{{3,}}\s*[^{_RULED}]{{0,30}}(?:{_ORIGINAL})[^{_RULED}]{{0,40}}[{_RULED}]{{3,}}"
    r"|\A\s*#{2,}[-\s]*[^#]{0,40}\b(?:above (?:this|the) line|oberhalb|au-dessus|por encima|acima|sopra|boven)\b"
    r"[^#]{0,60}#{2,}"
)
_FORWARDED_WORD = (
    r"forwarded|weitergeleitete|transféré|réexpédié|reenviado|encaminhada|reencaminhada|inoltrato"
    r"|doorgestuurd|vidarebefordrat|videresendte?|välitetty|przekazana|przeslana|přeposlaná|preposlaná"
    r"|továbbított|redirecționat|transmis|iletilen|yönlendirilen|proslijeđena|posredovano|προωθημένο"
    r"|пересылаемое|пересланное|переслане|препратено|diteruskan|chuyển tiếp"
)
FORWARD = re.compile(
    rf"(?i)\A[\s*]*(?:[{_RULED}]{{3,}}\s*[^{_RULED}]{{0,40}}(?:{_FORWARDED_WORD}|转发|轉寄|転送|전달된)"
    rf"[^{_RULED}]{{0,40}}[{_RULED}]{{3,}}"
    r"|(?:begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)"
    r"|début du (?:message|e-mail) (?:réexpédié|transféré)|inicio del mensaje reenviado"
    r"|inizio (?:del )?messaggio inoltrato|início da mensagem (?:re)?encaminhada"
    r"|begin doorgestuurd bericht|vidarebefordrat (?:brev|meddelande)|start på videresendt"
    r"|początek przekazywanej wiadomości|начало переадресованного (?:сообщения|письма)"
    r"|iletilmiş mesajın başlangıcı|開始轉寄郵件|开始转发的邮件|転送されたメッセージ)\s*[:：]\s*\Z)"
)

# The reply says that more of it stands within the history.
POINTS_BELOW = re.compile(
    r"(?i)\b(?:see|answers?|answered|repl(?:y|ies)|replied|comments?|commented|responses?)\b[^\n]{0,40}"
    r"\b(?:below|in[- ]?line|in (?:red|blue|green|bold|capitals)|between the lines)\b"
    r"|\b(?:siehe|s\.|antworten?|kommentare?|anmerkungen)\s[^\n]{0,30}"
    r"\b(?:unten|im text|in rot|in blau|inline|darunter)\b"
    r"|\b(?:voir|réponses?|commentaires?)\b[^\n]{0,30}\b(?:ci-dessous|plus bas|en rouge|en bleu|dans le texte)\b"
    r"|\b(?:ver|vea|respuestas?|comentarios?)\b[^\n]{0,30}\b(?:abajo|a continuación|en rojo|en azul)\b"
    r"|\b(?:vedi|risposte|commenti)\b[^\n]{0,30}\b(?:sotto|in rosso|in blu|nel testo)\b"
    r"|\b(?:ver|respostas?|comentários)\b[^\n]{0,30}\b(?:abaixo|em vermelho|em azul)\b"
    r"|\b(?:zie|antwoorden|opmerkingen)\b[^\n]{0,30}\b(?:hieronder|onder|in rood|in blauw)\b"
    r"|\b(?:se|svar|kommentarer)\b[^\n]{0,30}\b(?:nedan|nedenfor|herunder)\b"
    r"|\b(?:patrz|odpowiedzi|komentarze)\b[^\n]{0,30}\b(?:poniżej|niżej)\b"
    r"|(?:\bсм\.|\bсмотрите|\bответы|\bвідповіді|\bдив\.)[^\n]{0,30}\b(?:ниже|нижче)\b"
    r"|\b(?:aşağıda|aşağıya)\b|见下文|见下方|請見下|见下面|下記をご|以下の赤字"
)

# One of them is in whatever POINTS_BELOW finds, and is found thirty times faster.
POINTERS = (
    "below", "line", "in red", "in blue", "in green", "in bold", "in capitals", "unten", "im text", "in rot",
    "in blau", "darunter", "ci-dessous", "plus bas", "en rouge", "en bleu", "dans le texte", "abajo",
    "a continuación", "en rojo", "en azul", "sotto", "in rosso", "in blu", "nel testo", "abaixo",
    "em vermelho", "em azul", "onder", "in rood", "nedan", "nedenfor", "herunder", "niżej", "ниже",
    "нижче", "aşağı", "见下", "見下", "下記", "以下",
)  # fmt: skip

# --- headers within the text --------------------------------------------------------------------

_FROM = (
    r"from|von|de|de la|da|van|från|fra|frá|lähettäjä|od|feladó|kimden|gönderen|από|от|від|dari|từ|จาก"
    r"|发件人|寄件者|寄件人|差出人|送信者|보낸 ?사람|מאת|من|шаље|šalje|saatja|nuo|no|daripada|از|प्रेषक|nadawca"
    r"|от кого|sender"
)
_LABELS = {
    "sent": r"sent|gesendet(?: am)?|enviad[oa](?: el| em)?|envoyé(?: le)?|inviato|data invio|verzonden"
    r"|skickat|sendt|lähetetty|wysłano|odesláno|odoslané|elküldve|küldve|trimis|gönderildi"
    r"|gönderme tarihi|εστάλη|στάλθηκε|отправлено|надіслано|изпратено|dikirim|đã gửi|发送时间|寄件日期"
    r"|送信日時|보낸 ?날짜|נשלח|تم الإرسال|ส่ง|poslano|poslato|послато|saadetud|išsiųsta|nosūtīts|dihantar"
    r"|ارسال شده|भेजा गया",
    "date": r"date|datum|dato|fecha|data|päivämäärä|päiväys|dátum|tarih|ημερομηνία|дата|tanggal|ngày|日期|日付|날짜"
    r"|תאריך|التاريخ|วันที่|датум|kuupäev|dagsetning|तारीख",
    "to": r"to|an|para|à|a|aan|till|til|vastaanottaja|do|komu|címzett|către|kime|alıcı|προς|кому|до"
    r"|kepada|ke|tới|收件人|收件者|宛先|받는 ?사람|אל|إلى|ถึง|prima|прима|za|adressaat|kam|به|प्रति|adresat",
    "subject": r"subject|betreff|betr|asunto|assunto|objet|oggetto|onderwerp|ämne|emne|aihe|temat"
    r"|předmět|predmet|tárgy|subiect|konu|θέμα|тема|относно|perihal|subjek|chủ đề|主题|主旨|主旨|件名|제목"
    r"|נושא|الموضوع|เรื่อง|zadeva|teema|tema|temats|efni|موضوع|विषय|sujet",
    "cc": r"cc|kopie|kopia|kopio|másolatot kap|bilgi|копия|копія|κοιν|抄送|副本|참조|עותק",
    "reply": r"reply-to|antwort an|risposta|rispondi a|responder a|répondre à|svar til|svara till",
}
FROM_LINE = re.compile(
    rf"(?i)\A[\s>]*\*{{0,3}}(?:{_FROM})\s?\*{{0,3}}\s*[:：]\*{{0,3}}(?!\s*[\d:.]+\s*\Z)\s*\S"
)
LABEL_LINES = {
    name: re.compile(rf"(?i)\A[\s>]*\*{{0,3}}(?:{labels})\s?\*{{0,3}}\s*[:：]")
    for name, labels in _LABELS.items()
}

# --- subjects -----------------------------------------------------------------------------------

FORWARDED_SUBJECT = re.compile(
    r"(?i)\A\s*(?:\[[^\]]{0,40}\]\s*)?(?:fwd?|wg|tr|rv|enc|i|doorst|vs|vl|vb|pd|továbbítva|fs|転送|转发|轉寄"
    r"|ilt|πρθ|προωθ|הועבר)\s*[:：]"
)
