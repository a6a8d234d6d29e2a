"""A process that was begun ends with the one that began it, also where that is killed."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import time
from multiprocessing import get_context
from shared.children import end_with_parent

def work():
    end_with_parent()
    print("at work", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    child = get_context("spawn").Process(target=work)
    child.start()
    child.join()
"""


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "parent.py"
    path.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"at work\n"
        parent.kill()
        # The child holds the pipe, too: its end is the child's.
        assert parent.stdout.read() == b""
