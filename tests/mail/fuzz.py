"""Feed the mail parser with mutated mails until the time is over: `make fuzz-mail SECONDS=30`.

An exception, a result that the bus would not take, or a mail that takes seconds ends the run and
leaves its bytes in `.cache/fuzz`. Coverage-guided by atheris; one line where it has no wheel.
"""

import os
import sys
from pathlib import Path

FOLDER = Path(".cache/fuzz")
TIMEOUT_S = 5
MAX_BYTES = 65_536


def run(seconds: int) -> int:
    """The exit code: 0 when nothing was found."""
    try:
        import atheris
    except ImportError:
        print("fuzz-mail: skipped, atheris has no wheel for this Python and machine.")
        return 0
    with atheris.instrument_imports(include=["services.channels.connectors"]):
        from tests.mail.checks import check_mail
    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(_first()):
        (corpus / f"first-{number}").write_bytes(raw)
    options = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}",
        f"-timeout={TIMEOUT_S}", f"-artifact_prefix={FOLDER}/", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup(options, check_mail)
    atheris.Fuzz()
    return 0


def _first() -> list[bytes]:
    from services.channels.connectors.registry import get

    found = [example.request.body for example in get("email_mime").examples()]
    folder = Path(os.environ.get("MAILS") or Path(__file__).parents[3] / "shared/samples/emails")
    return found + [path.read_bytes() for path in sorted(folder.glob("*.eml"))]


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
