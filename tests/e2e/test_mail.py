"""Mail by LMTP with a real client while a real Kafka is stopped, started and the process killed: no
mail that was acknowledged is lost, none is shown twice."""

import contextlib
import smtplib
import threading
import time
from pathlib import Path

import httpx
import pytest

from shared.testing.kafka import KafkaBroker, free_ports
from shared.testing.processes import Installation

PATIENCE_S = 90.0

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


class Sender(threading.Thread):
    """A mail server: one mail after the other, each again until it is acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.deferred = 0
        self._port = port
        self._ended = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            name = f"mail-{number}"
            if self._sent(name):
                self.acknowledged.append(name)
                number += 1
            else:
                self.deferred += 1
            time.sleep(0.05)

    def _sent(self, name: str) -> bool:
        content = (
            f"From: {name}@example.org\r\nTo: help@acme.example\r\nSubject: {name}\r\n"
            f"Message-ID: <{name}@example.org>\r\n\r\nWhere is my parcel?\r\n"
        )
        with contextlib.suppress(OSError, smtplib.SMTPException):
            with smtplib.LMTP("127.0.0.1", self._port, timeout=30) as client:
                client.sendmail(f"{name}@example.org", ["help@acme.example"], content)
                return True
        return False

    def end(self) -> None:
        self._ended.set()
        self.join(60)


def shown(client: httpx.Client) -> list[str]:
    """The subjects of all conversations."""
    found: list[str] = []
    cursor = None
    while True:
        answer = client.get("/conversations", params={"cursor": cursor} if cursor else {}).json()
        found += [one["subject"] for one in answer["conversations"]]
        cursor = answer["next"]
        if cursor is None:
            return found


def test_no_acknowledged_mail_is_lost(
    tmp_path: Path, own_kafka: KafkaBroker, database_url: str
) -> None:
    port = free_ports(1)[0]
    settings = {"OMNIROUTE_LMTP_PORT": str(port)}
    with Installation(
        tmp_path, database_url=database_url, kafka=own_kafka.bootstrap, settings=settings
    ) as installation:
        process = installation.processes[0]
        token = installation.command("token", "--workspace", "acme", "--role", "admin").strip()
        client = httpx.Client(
            base_url=f"{process.url}/v1/workspaces/acme",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )
        body = {"kind": "email_mime", "settings": {"addresses": ["help@acme.example"]}}
        assert client.put("/connectors/mail", json=body).status_code == 201
        sender = Sender(port)
        sender.start()
        wait_for(lambda: len(sender.acknowledged) >= 5, "mails before")
        own_kafka.stop()
        before = len(sender.acknowledged)
        wait_for(lambda: len(sender.acknowledged) >= before + 5, "mails while Kafka is stopped")
        process.kill()
        wait_for(lambda: sender.deferred > 0, "mails refused while nobody listens")
        own_kafka.start()
        installation.start()
        before = len(sender.acknowledged)
        wait_for(lambda: len(sender.acknowledged) >= before + 5, "mails after")
        sender.end()
        wanted = sorted(sender.acknowledged)
        wait_for(lambda: set(wanted) <= set(shown(client)), "all acknowledged mails readable")
        found = shown(client)
        assert len(found) == len(set(found)), "each mail once"
        client.close()


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)
