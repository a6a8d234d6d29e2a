"""`python -m shared.contracts.export DIR`: write the schemas; `--check` refuses breaking changes.

DIR gets `asyncapi.json` and `schemas.json` (event type -> JSON Schema, with definitions).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from shared.contracts.schemas import asyncapi, incompatibilities, json_schemas


def documents() -> dict[str, Any]:
    """File name -> document."""
    schemas, components = json_schemas()
    return {
        "asyncapi.json": asyncapi(),
        "schemas.json": {"events": schemas, "components": {"schemas": components}},
    }


def render(document: Any) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def faults(folder: Path) -> list[str]:
    """Breaking changes of the code against what `folder` holds."""
    found: list[str] = []
    for name, document in documents().items():
        published = json.loads((folder / name).read_text("utf-8"))
        current = json.loads(render(document))
        found += [f"{name}{fault}" for fault in incompatibilities(published, current)]
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shared.contracts.export", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        found = faults(chosen.folder)
        sys.stderr.write("".join(f"incompatible: {fault}\n" for fault in found))
        return 1 if found else 0
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (chosen.folder / name).write_text(render(document), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
