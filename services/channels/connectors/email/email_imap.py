"""A mailbox read by IMAP: every new mail, as raw MIME.

https://www.rfc-editor.org/rfc/rfc9051
"""

from typing import Literal

from pydantic import Field

from services.channels.connectors.email import email_mime
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.port import DAY_S, Answers, Connector, Example, Fetch, Grant
from services.channels.connectors.signatures import Unsigned


class ImapSettings(EmailSettings):
    host: str | None = Field(
        default=None,
        max_length=253,
        pattern=r"^[A-Za-z0-9.:_-]+$",
        description="The IMAP server, such as imap.example.org.",
    )
    port: int = Field(default=993, ge=1, le=65_535)
    security: Literal["tls", "starttls", "none"] = Field(
        default="tls",
        description="«none» only to a network that OMNIROUTE_FETCH_ALLOW names.",
    )
    username: str | None = Field(default=None, max_length=320, pattern=r"^[^\x00-\x1f]+$")
    folder: str = Field(default="INBOX", min_length=1, max_length=512, pattern=r"^[^\x00-\x1f]+$")
    start: Literal["unseen", "now", "all"] = Field(
        default="unseen", description="What the first pass takes of the mail that is there already."
    )
    then: Literal["keep", "seen", "delete"] = Field(
        default="keep",
        description="What is done to a mail once it is durable here; «keep» changes nothing.",
    )
    move_to: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^[^\x00-\x1f]+$",
        description="Folder into which a mail goes once it is durable here, instead of `then`.",
    )
    token_url: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://",
        description="Where OAuth tokens are renewed, for mailboxes without a password.",
    )


SETUP = """\
1. Set `host` and `username`, and the secret `password`: a password of its own for this
   application, where the provider has such.
2. Mailboxes that want OAuth (Google, Microsoft 365): set `token_url`
   (`https://oauth2.googleapis.com/token`,
   `https://login.microsoftonline.com/TENANT/oauth2/v2.0/token`) and the secrets `client_id`,
   `client_secret` and `refresh_token` instead of a password.
3. List your own addresses under `addresses`, the domains of your Message-IDs under
   `message_id_domains`.

The mailbox is looked into every minute (`poll_every_s`). A mail counts as read here once it is
durable; nothing in the mailbox is changed unless `then` or `move_to` says so. Mail larger than
30 MB comes as its header, and stays in the mailbox.
"""


def examples() -> tuple[Example, ...]:
    return email_mime.examples()[:1]


CONNECTOR = Connector(
    kind="email_imap",
    channel="email",
    title="Mailbox by IMAP",
    setup=SETUP,
    signature=Unsigned(),
    parse=email_mime.parse,
    examples=examples,
    settings=ImapSettings,
    secrets={
        "password": "Password of the mailbox.",
        "client_id": "OAuth client, with which the mailbox's token is renewed.",
        "client_secret": "The OAuth client's secret.",
        "refresh_token": "OAuth refresh token of the mailbox.",
    },
    answers=Answers(),
    retry_horizon_s=3650 * DAY_S,
    max_body_bytes=40 * 1024 * 1024,
    fetches=(
        Fetch(
            "poll",
            "imap:{host}",
            secret="password",
            cursor="UIDVALIDITY, the highest UID and the day of the last pass",
            every_s=60,
            needs=("host", "username"),
            grant=Grant(
                "{token_url}",
                {
                    "grant_type": "refresh_token",
                    "client_id": "{client_id}",
                    "client_secret": "{client_secret}",
                    "refresh_token": "{refresh_token}",
                },
            ),
        ),
    ),
)
