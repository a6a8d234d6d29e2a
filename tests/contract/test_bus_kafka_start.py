"""deploy/kafka/start.py, and what is said where Kafka cannot run."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.testing.kafka import KafkaMissing, fetch_jars, kafka_version, why_no_kafka

ROOT = Path(__file__).parents[2]
START = [sys.executable, str(ROOT / "deploy" / "kafka" / "start.py")]
PROBE = """
import os, socket, sys
host, port = os.environ["KAFKA_BOOTSTRAP_SERVERS"].split(":")
socket.create_connection((host, int(port)), 5).close()
print(port, flush=True)
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.kafka
def test_the_command_finds_a_broker_and_its_status_is_passed_on() -> None:
    done = subprocess.run(
        [*START, "--", sys.executable, "-c", PROBE + "sys.exit(7)"],
        stdout=subprocess.PIPE,
        timeout=120,
    )
    assert done.returncode == 7
    assert not listens(int(done.stdout))


@pytest.mark.kafka
def test_a_signal_ends_the_command_then_the_broker(tmp_path: Path) -> None:
    wait = PROBE + "import time; time.sleep(100)"
    process = subprocess.Popen(
        [*START, "--data", str(tmp_path / "kafka"), "--", sys.executable, "-c", wait],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert not listens(port)
        assert (tmp_path / "kafka" / "log").is_dir()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_without_java_the_reason_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OMNIROUTE_CACHE_DIR", str(tmp_path))
    assert (why_no_kafka() or "").count("\n") == 0
    assert "java" in (why_no_kafka() or "")
    with pytest.raises(KafkaMissing, match="Java 17"):
        fetch_jars()
    done = subprocess.run([*START, "--", "true"], capture_output=True, env=os.environ, timeout=60)
    assert done.returncode == 2
    assert b"Java 17" in done.stderr


def test_with_java_alone_the_cached_jars_are_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OMNIROUTE_CACHE_DIR", str(tmp_path / "cache"))
    assert "mvn" in (why_no_kafka() or "")
    jars = tmp_path / "cache" / f"kafka-{kafka_version()}"
    jars.mkdir(parents=True)
    (jars / ".complete").touch()
    assert why_no_kafka() is None
    assert fetch_jars() == jars


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("true", "ERROR")])
def test_a_missing_java_skips_at_home_and_fails_in_ci(
    ci: str, outcome: str, tmp_path: Path
) -> None:
    test = tmp_path / "test_needs_kafka.py"
    test.write_text("import pytest\n@pytest.mark.kafka\ndef test_it(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "shared.testing.kafka_fixtures", "-rs", str(test)]
        + [
            "-c",
            str(ROOT / "pyproject.toml"),
            "--rootdir",
            str(tmp_path),
            "-p",
            "no:cacheprovider",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": str(tmp_path), "OMNIROUTE_CACHE_DIR": str(tmp_path), "CI": ci},
        timeout=120,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "Java 17" in done.stdout
    assert (done.returncode == 0) == (ci == "")
