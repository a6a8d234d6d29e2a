"""Who wrote a mail, where its From names a machine or a list instead: forms, and lists that put
their own address there because of DMARC."""

import re
from collections.abc import Set

from services.channels.connectors.email.mime import Mail
from services.channels.connectors.identities import email
from shared.contracts.interactions import Address

# What forms, shops and phone systems write from: nobody reads these addresses.
_MACHINE = re.compile(
    r"(?i)\A(?:no[-_.]?repl(?:y|ies)|do[-_.]?not[-_.]?reply|not[-_.]?reply|mailer|forms?|web[-_.]?forms?"
    r"|contact[-_.]?forms?|kontaktformular|wordpress|www-data|apache|nobody|nicht[-_.]?antworten"
    r"|ne[-_.]?pas[-_.]?repondre|no[-_.]?responder|notifications?|notify)(?:[-+_.][^@]*)?@"
)
_VIA = re.compile(r"(?i)\A\s*['\"]?(.{1,200}?)['\"]?\s+(?:via|über|par|por|tramite)\s+\S")
_LISTED = ("list-id", "list-post", "mailing-list")


def writer_of(mail: Mail, own: Set[str]) -> Address | None:
    """The person; From's where nothing says otherwise. `own` are the addresses that are ours: a form
    on our own site writes to us in our name and would be lost as our own mail coming back."""
    sender = next(iter(mail.sender), None)
    if sender is None or mail.bounce is not None:
        return sender
    listed = _behind_list(mail, sender)
    if listed is not None:
        return listed
    answer_to = next((each for each in mail.reply_to if email(each.address)), None)
    if answer_to is None or mail.in_reply_to:
        return sender
    return answer_to if _of_form(mail, sender, answer_to, own) else sender


def _of_form(mail: Mail, sender: Address, answer_to: Address, own: Set[str]) -> bool:
    theirs, wanted = email(sender.address), email(answer_to.address) or ""
    to = {email(each.address) for each in mail.to}
    if wanted in own or wanted in to or _MACHINE.match(wanted):
        return False
    to_itself = theirs is not None and (theirs in to or (theirs in own and bool(to & own)))
    return to_itself or bool(_MACHINE.match(sender.address))


def _behind_list(mail: Mail, sender: Address) -> Address | None:
    """Who wrote to a list that names itself as the sender: "Kim via Support"."""
    via = _VIA.match(sender.name or "")
    if via is None or not any(mail.headers.has(name) for name in _LISTED):
        return None
    original = [
        *mail.headers.addresses("x-original-from"),
        *mail.headers.addresses("x-original-sender"),
        *mail.reply_to,
    ]
    found = (each for each in original if email(each.address) not in (None, email(sender.address)))
    person = next(found, None)
    return None if person is None else Address(person.address, person.name or via[1].strip("'\" "))
