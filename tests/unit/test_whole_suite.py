"""`make test` leaves no test out, shows what the simulation says, and fails where one test fails."""

import re

from tests.__main__ import main

FINE = "def test_it(capsys):\n    with capsys.disabled():\n        print('counted by {}')\n"


def suite(folder, **files):
    for name, content in files.items():
        (folder / "tests" / name).mkdir(parents=True)
        (folder / "tests" / name / f"test_{name}.py").write_text(content)
    return folder


def test_all_folders_are_run_shown_and_judged(tmp_path, capfd):
    fine = {name: FINE.format(name) for name in ("mail", "simulation", "new")}
    assert not main(["-n", "0"], suite(tmp_path, unit="def test_it(): assert 0", **fine))
    said = capfd.readouterr().out
    assert all(f"counted by {name}\n" in said for name in ("simulation", "new"))
    assert "1 failed, 1 passed" in said and said.count("1 passed") == 3
    assert re.findall(r"== (\w+): \d+ s, exit status (\d)", said) == [
        ("computing", "1"),
        ("servers", "0"),
        ("simulation", "0"),
    ]
