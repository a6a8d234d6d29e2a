"""Which conversation a mail belongs to, as far as the mail itself can tell.

The thread index of the shell knows which of the candidates it has seen; the codec gives them in
order, best first: own token, In-Reply-To, References from newest to oldest, the vendor's thread,
a tag in the subject.
"""

import re
from collections.abc import Iterable

from services.channels.connectors.email.headers import Headers
from services.channels.connectors.identities import email
from shared.contracts.interactions import Address

_TAG = re.compile(
    r"\[(?:[^\[\]#]{0,40})#[ ]?([A-Za-z0-9-]{1,40})\]|\((?:ticket|case)[ #:]{1,3}([A-Za-z0-9-]{1,40})\)",
    re.IGNORECASE,
)
CONVERSATION = re.compile(r"cnv_[0-9a-f]{32}")
_VENDOR_THREADS = ("x-gm-thrid", "x-conversation-id", "thread-index")
_THREAD_INDEX = 30  # base64 of the 22 bytes that all mails of an Outlook conversation share
MAX_CANDIDATES = 120


def token_of(recipients: Iterable[Address], own: Iterable[str]) -> str | None:
    """The part after "+" of a recipient that is one of our own addresses."""
    bases = {address for each in own if (address := email(each))}
    for recipient in recipients:
        local, _, domain = (email(recipient.address) or "").rpartition("@")
        base, plus, token = local.partition("+")
        if plus and token and (f"{base}@{domain}" in bases):
            return token
    return None


def token_in_ids(ids: Iterable[str], domains: Iterable[str]) -> str | None:
    """The conversation that a Message-ID of ours names; see `email_mime`'s settings."""
    ours = {domain.lower() for domain in domains}
    for each in ids:
        local, _, domain = each.lower().rpartition("@")
        if domain in ours and (found := CONVERSATION.search(local)):
            return found[0]
    return None


def candidates(
    headers: Headers,
    *,
    sender: str | None,
    token: str | None,
    in_reply_to: list[str],
    references: list[str],
    reported: list[str],
    subject: str,
) -> list[str]:
    """`reported` is what a bounce or a receipt is about. A subject's tag counts among the mails of one
    sender: others may write "[#1]" too, and must not be led into his conversation. Candidates as "token:…", "id:…", "thread:…", "subject:…", each once, best first."""
    found = [f"token:{token}"] if token else []
    found += [f"id:{each}" for each in in_reply_to]
    found += [f"id:{each}" for each in reversed(references)]
    found += [f"id:{each}" for each in reported]
    for name in _VENDOR_THREADS:
        value = "".join(headers.raw(name).split())
        if value:
            short = value[:_THREAD_INDEX] if name == "thread-index" else value[:200]
            found.append(f"thread:{name}:{short}")
    tag = _TAG.search(subject[:500])
    if tag:
        found.append(f"subject:{(tag[1] or tag[2]).lower()}:{sender or ''}")
    return list(dict.fromkeys(found))[:MAX_CANDIDATES]


def fallback_key(message_id: str, in_reply_to: list[str], references: list[str]) -> str:
    """The conversation's key without an index: the id of the thread's first mail, so that all mails
    that name it agree."""
    return next(iter((*references, *in_reply_to)), message_id)
