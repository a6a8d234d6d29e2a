"""The same inputs give the same bytes in another process with another hash seed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import hashlib, random
from bench.router_core import centre, lives
driver = centre(20, 50, random.Random(1))
lives(driver, 150, random.Random(2))
digest = hashlib.sha256()
for event in driver.journal:
    digest.update(event.data)
for entity in driver.core.dump():
    digest.update(entity.body)
print(digest.hexdigest())
"""


def digest(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_hash_seed_decides_nothing() -> None:
    assert digest("1") == digest("2") != ""
