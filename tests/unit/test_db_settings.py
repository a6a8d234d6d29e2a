"""Settings: the defaults, every fault at once, and no secret in sight."""

from base64 import urlsafe_b64encode
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from shared.settings import SettingsError, read_settings

KEY = urlsafe_b64encode(b"k" * 32).decode()


def test_defaults():
    settings = read_settings({})
    assert settings.data_dir == Path(".omniroute")
    assert (settings.host, settings.port, settings.partitions) == ("127.0.0.1", 8080, 12)
    assert settings.advertised_url == "http://127.0.0.1:8080"
    assert settings.database_url is settings.kafka is settings.jwt_issuer is None


def test_what_is_given_is_taken():
    settings = read_settings(
        {
            "OMNIROUTE_DATA_DIR": "/var/lib/omniroute",
            "OMNIROUTE_HOST": "0.0.0.0",
            "OMNIROUTE_PORT": "9000",
            "OMNIROUTE_PARTITIONS": "48",
            "KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092,kafka-2:9092",
            "DATABASE_URL": "postgres://omni:geheim@db/omni",
            "OMNIROUTE_JWT_ISSUER": "https://id.example/",
            "OMNIROUTE_JWT_ROLES_CLAIM": "realm_access.roles",
            "OMNIROUTE_LEASE_S": "4",
        }
    )
    assert settings.data_dir == Path("/var/lib/omniroute")
    assert settings.advertised_url == "http://127.0.0.1:9000"
    assert (settings.port, settings.partitions, settings.lease_s) == (9000, 48, 4.0)
    assert settings.kafka == "kafka-1:9092,kafka-2:9092"
    assert settings.jwt_roles_claim == "realm_access.roles"


def test_the_issuer_is_kept_to_the_letter():
    """Its slash is part of what tokens say."""
    assert read_settings({"OMNIROUTE_JWT_ISSUER": "https://id.example/"}).jwt_issuer == (
        "https://id.example/"
    )


def test_an_empty_value_counts_as_unset():
    assert read_settings({"OMNIROUTE_PORT": " ", "DATABASE_URL": ""}) == read_settings({})


def test_all_faults_come_together():
    bad = {
        "OMNIROUTE_PORT": "http",
        "OMNIROUTE_PARTITIONS": "0",
        "DATABASE_URL": "mysql://root:geheim@db/x",
        "KAFKA_BOOTSTRAP_SERVERS": "kafka",
        "OMNIROUTE_SECRET_KEY": "geheim",
        "OMNIROUTE_ADVERTISED_URL": "localhost:8080",
        "OMNIROUTE_METRICS_TOKEN": "geheim",
        "OMNIROUTE_JWT_AUDIENCE": "omniroute",
    }
    with pytest.raises(SettingsError) as refused:
        read_settings(bad)
    named = {fault.partition(":")[0] for fault in refused.value.faults}
    assert named == {*bad} - {"OMNIROUTE_JWT_AUDIENCE"} | {"OMNIROUTE_JWT_ISSUER"}
    assert "geheim" not in str(refused.value)


def test_secrets_are_never_printed():
    settings = read_settings(
        {
            "DATABASE_URL": "postgres://omni:geheim@db/omni",
            "OMNIROUTE_SECRET_KEY": KEY,
            "OMNIROUTE_METRICS_TOKEN": "geheim-geheim-geheim",
        }
    )
    assert settings.secret_key == KEY
    assert "geheim" not in repr(settings) and KEY not in repr(settings)


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        read_settings({}).port = 1


@pytest.mark.parametrize(
    ("host", "url"), [("::", "http://[::1]:8080"), ("::1", "http://[::1]:8080")]
)
def test_the_address_of_this_machine(host, url):
    assert read_settings({"OMNIROUTE_HOST": host}).advertised_url == url


def test_mail_is_off_until_a_port_is_named(tmp_path):
    settings = read_settings({"OMNIROUTE_HOST": "0.0.0.0"})
    assert settings.lmtp_port is settings.smtp_port is settings.mail_tls_cert is None
    assert (settings.mail_host, settings.mail_recipients) == ("0.0.0.0", 100)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    settings = read_settings(
        {
            "OMNIROUTE_LMTP_PORT": "2424",
            "OMNIROUTE_MAIL_HOST": "127.0.0.1",
            "OMNIROUTE_MAIL_BYTES": "1048576",
            "OMNIROUTE_MAIL_TLS_CERT": str(tmp_path / "cert.pem"),
            "OMNIROUTE_MAIL_TLS_KEY": str(tmp_path / "key.pem"),
        }
    )
    assert (settings.lmtp_port, settings.smtp_port, settings.mail_bytes) == (2424, None, 1048576)
    with pytest.raises(SettingsError) as wrong:
        read_settings(
            {
                "OMNIROUTE_SMTP_PORT": "smtp",
                "OMNIROUTE_MAIL_BYTES": "1",
                "OMNIROUTE_MAIL_TLS_CERT": "/no/such/file",
                "OMNIROUTE_MAIL_TLS_KEY": str(tmp_path / "key.pem"),
            }
        )
    assert [fault.split(":")[0] for fault in wrong.value.faults] == [
        "OMNIROUTE_SMTP_PORT", "OMNIROUTE_MAIL_BYTES", "OMNIROUTE_MAIL_TLS_CERT",
        "OMNIROUTE_MAIL_TLS_CERT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OMNIROUTE_PORTT", "OMNIROUTE_PORT"),
        ("OMNIROUT_DATA_DIR", "OMNIROUTE_DATA_DIR"),
        ("OMNIROUTE_SPOOL_RECORD", "OMNIROUTE_SPOOL_RECORDS"),
        ("omniroute_log_level", "OMNIROUTE_LOG_LEVEL"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("DATABASE_URI", "DATABASE_URL"),
    ],
)
def test_what_looks_like_a_setting_and_is_none_is_told(name, meant):
    (said,) = read_settings({name: "s3cret"}).misspelt
    assert said == f"{name} is no setting: {meant} was meant?"


def test_others_variables_are_not_doubted():
    others = (
        "OMNIROUTE_TOKEN",
        "OMNIROUTE_CACHE_DIR",
        "OMNIROUTE_SERVICE_HOST",
        "OMNIROUTE_SERVICE_PORT",
        "OMNIROUTE_PORT_8080_TCP",
        "OMNIROUTE_PORT_8080_TCP_ADDR",
        "OMNIROUTE_WA_APP_SECRET",
        "OMNIROUTE_TEST_DATABASE_URL",
        "OMNIROUTE_TEST_KILL",
        "DATABASE_PASSWORD",
    )
    assert read_settings(dict.fromkeys(others, "x")).misspelt == ()


def test_origins_are_as_browsers_write_them():
    given = "https://Desk.example:443, http://localhost:3000,http://[::1]:80,https://desk.example"
    assert read_settings({"OMNIROUTE_CORS_ORIGINS": given}).cors_origins == (
        "https://desk.example",
        "http://localhost:3000",
        "http://[::1]",
    )
    assert read_settings({}).cors_origins == ()


@pytest.mark.parametrize(
    "text",
    ["*", "desk.example", "https://desk.example/", "https://a@b", "null", "https://*.example"],
)
def test_what_is_no_origin(text):
    with pytest.raises(SettingsError, match="OMNIROUTE_CORS_ORIGINS: is not a list of origins"):
        read_settings({"OMNIROUTE_CORS_ORIGINS": text})
