"""The README's table of connectors, from the registry: `python -m services.channels.connectors.table`.

Every kind in it passes the conformance suite; a test holds the README to this table.
"""

from pathlib import Path

from services.channels.connectors import registry
from services.channels.connectors.port import Connector

README = Path(__file__).resolve().parents[3] / "README.md"
BEGIN, END = "<!-- connectors -->", "<!-- /connectors -->"


def table() -> str:
    """Markdown rows, by channel and kind."""
    rows = ["| kind | channel | what it takes | proof |", "|---|---|---|---|"]
    rows += [_row(connector) for connector in registry.load().values()]
    return "\n".join(rows)


def _row(connector: Connector) -> str:
    proof = "signed" if connector.signed else "unguessable address"
    channel = ", ".join((connector.channel or "by its setting", *connector.other_channels))
    return f"| `{connector.kind}` | {channel} | {connector.title} | {proof} |"


def updated(text: str) -> str:
    """The README's text with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text("utf-8")), "utf-8")
