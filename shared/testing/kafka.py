"""A real Kafka 4.x on this machine, from Maven's jars: for tests, benches and `make run-kafka`."""

import base64
import contextlib
import os
import shutil
import signal
import socket
import string
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree
from collections.abc import Sequence
from pathlib import Path

_RECIPE = Path(__file__).parents[2] / "deploy" / "kafka"
_POM = "{http://maven.apache.org/POM/4.0.0}"

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
MAVEN_TIMEOUT_S = 300.0
HEAP = "-Xmx512m"
BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a Java that ends soon: it starts for half the CPU time, and computes slower later."""


class KafkaMissing(Exception):
    """This machine cannot run Kafka; the text says in one line what is missing."""


def why_no_kafka() -> str | None:
    """None where a broker can be started; else what is missing, in one line."""
    if shutil.which("java") is None:
        return "a real Kafka needs Java 17: no `java` on the PATH"
    if shutil.which("mvn") is None and not _complete(jars_folder()):
        return "a real Kafka needs its jars: no `mvn` on the PATH to fetch them"
    return None


def kafka_version() -> str:
    """The version that deploy/kafka/pom.xml names."""
    root = xml.etree.ElementTree.parse(_RECIPE / "pom.xml").getroot()
    version = root.findtext(f"{_POM}properties/{_POM}kafka.version")
    assert version, "deploy/kafka/pom.xml names no kafka.version"
    return version


def jars_folder() -> Path:
    """Where the jars are kept: under OMNIROUTE_CACHE_DIR, or ~/.cache/omniroute."""
    cache = os.environ.get("OMNIROUTE_CACHE_DIR") or Path.home() / ".cache" / "omniroute"
    return Path(cache) / f"kafka-{kafka_version()}"


def fetch_jars() -> Path:
    """The folder with Kafka's jars, fetched by Maven the first time. Raises KafkaMissing.

    Several processes may call it at once: each fetches beside the folder and one is moved in.
    """
    folder = jars_folder()
    if _complete(folder):
        return folder
    if (reason := why_no_kafka()) is not None:
        raise KafkaMissing(reason)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-fetch-") as beside:
        fetched = Path(beside) / "jars"
        _run_maven(fetched)
        (fetched / ".complete").touch()
        with contextlib.suppress(OSError):
            fetched.rename(folder)
    if not _complete(folder):
        raise KafkaMissing(f"Maven brought no jars to {folder}")
    return folder


def free_ports(count: int) -> list[int]:
    """TCP ports on 127.0.0.1 that nobody listens on right now."""
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class KafkaBroker:
    """One node, broker and controller in one process. Blocking; stops only what it started.

    Its ports and its log outlive `stop` and `kill`, so that `start` brings the same broker back.
    `close` also removes the log. Several nodes: `KafkaCluster`. `flags` are further ones for Java.
    """

    def __init__(self, folder: Path | None = None, flags: Sequence[str] = ()) -> None:
        self._flags = flags
        self.port, self._controller_port = free_ports(2)
        self._owned = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="omniroute-kafka-"))
        self._settings: dict[str, str] = {}
        self._cluster_id = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.join([self], _cluster_id())

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The running process, None when it is stopped."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def join(self, nodes: "Sequence[KafkaBroker]", cluster_id: str) -> None:
        """Make this node, not yet started, one of these; every write then needs all but one."""
        replicas, ids = len(nodes), range(1, len(nodes) + 1)
        voters = [
            f"{n}@127.0.0.1:{node._controller_port}" for n, node in zip(ids, nodes, strict=True)
        ]
        self._cluster_id = cluster_id
        self._settings = {
            "node_id": str(nodes.index(self) + 1),
            "port": str(self.port),
            "controller_port": str(self._controller_port),
            "voters": ",".join(voters),
            "replicas": str(replicas),
            "min_isr": str(max(1, replicas - 1)),
            # A single node has nobody to hand its partitions to.
            "controlled_shutdown": "true" if replicas > 1 else "false",
        }

    def launch(self) -> None:
        """Format the log the first time and start the process, without waiting for it."""
        assert self.pid is None, "the broker runs already"
        properties = self.folder / "server.properties"
        if properties.exists():
            properties.write_text(self._properties())  # a kept log is served on new ports
        else:
            self._prepare(properties)
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                _java(HEAP, *self._flags, "kafka.Kafka", str(properties)),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
            )

    def wait(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once the broker says that it has started."""
        deadline = time.monotonic() + timeout_s
        while not self._listens():
            if self.pid is None:
                raise RuntimeError(f"Kafka ended at once:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"Kafka did not start in {timeout_s} s:\n{self.tail()}")
            time.sleep(0.05)

    def start(self) -> str:
        """Start it and wait until it answers; returns its bootstrap address."""
        self.launch()
        self.wait()
        return self.bootstrap

    def stop(self) -> None:
        """Stop it cleanly (SIGTERM), by force where it does not obey. May be called twice."""
        if self._process is None:
            return
        if self.pid is not None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop cleanly and start again on the same ports and log."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove what it wrote (only a folder of its own). May be called twice."""
        self.stop()
        if self._owned:
            shutil.rmtree(self.folder, ignore_errors=True)

    def tail(self, lines: int = 30) -> str:
        """The end of the broker's own log."""
        log = self.folder / "broker.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> "KafkaBroker":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, properties: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "draft.properties"
        draft.write_text(self._properties())
        tool = ("kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(draft))
        command = _java(*BRIEF, *tool)
        done = subprocess.run(command, capture_output=True, timeout=START_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka could not format its log:\n{done.stderr.decode()}")
        draft.rename(properties)

    def _properties(self) -> str:
        template = string.Template((_RECIPE / "server.properties").read_text())
        return template.substitute(self._settings, log_dir=self.folder / "log")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class KafkaCluster:
    """Several nodes that replicate everything: acks=all needs all but one of them."""

    def __init__(self, nodes: int = 3, flags: Sequence[str] = ()) -> None:
        self.nodes = [KafkaBroker(flags=flags) for _ in range(nodes)]
        cluster_id = _cluster_id()
        for node in self.nodes:
            node.join(self.nodes, cluster_id)

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def __enter__(self) -> "KafkaCluster":
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all nodes and remove what they wrote."""
        for node in self.nodes:
            node.kill()
            node.close()


def _java(*arguments: str) -> list[str]:
    flags = [each for each in arguments if each.startswith("-X")]
    rest = [each for each in arguments if not each.startswith("-X")]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", *flags, quiet, "-cp", f"{fetch_jars()}/*", *rest]


def _run_maven(target: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(_RECIPE / "pom.xml")]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    done = subprocess.run(command, capture_output=True, timeout=MAVEN_TIMEOUT_S, check=False)
    if done.returncode != 0:
        text = (done.stdout or done.stderr).decode(errors="replace")
        raise KafkaMissing(f"Maven could not fetch Kafka's jars: {text[-500:]}")


def _complete(folder: Path) -> bool:
    return (folder / ".complete").exists()


def _cluster_id() -> str:
    """22 characters of base64url, never beginning with a dash (it would look like an option)."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return text if not text.startswith("-") else _cluster_id()
