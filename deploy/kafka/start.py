"""Runs a command beside a real Kafka of its own: `python deploy/kafka/start.py -- command …`.

The command finds the broker in KAFKA_BOOTSTRAP_SERVERS. The broker ends with it, and its log with
the broker, unless --data names a folder that keeps it.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[2]))

from shared.testing.kafka import KafkaBroker, KafkaMissing, fetch_jars


def main() -> int:
    """The command's exit status; 2 when Kafka cannot run here."""
    arguments = _arguments()
    try:
        fetch_jars()
    except KafkaMissing as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    with KafkaBroker(arguments.data and arguments.data.resolve()) as broker:
        print(f"Kafka: {broker.bootstrap}", file=sys.stderr, flush=True)  # noqa: T201
        return _run(arguments.command, broker.bootstrap)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, usage="%(prog)s [--data FOLDER] -- command"
    )
    parser.add_argument("--data", type=Path, help="keep the broker's log in this folder")
    parser.add_argument("command", nargs="+", help="what to run while the broker is up")
    return parser.parse_args()


def _run(command: list[str], bootstrap: str) -> int:
    """Run it to its end, passing SIGINT and SIGTERM on; the broker must outlive it."""
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap}
    process = subprocess.Popen(command, env=environment)

    def pass_on(number: int, _: FrameType | None) -> None:
        if process.poll() is None:
            process.send_signal(number)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    status = process.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
