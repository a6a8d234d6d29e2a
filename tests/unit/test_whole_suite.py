"""`make test` leaves no test out, shows what the simulation says, and fails where one test fails."""

from tests.__main__ import main

FINE = "def test_it(capsys):\n    with capsys.disabled():\n        print('{}')\n"


def suite(folder, **files):
    for name, content in files.items():
        (folder / "tests" / name).mkdir(parents=True)
        (folder / "tests" / name / f"test_{name}.py").write_text(content)
    return folder


def test_all_folders_are_run_and_what_they_print_is_shown(tmp_path, capfd):
    root = suite(
        tmp_path, unit=FINE, mail=FINE, simulation=FINE.format("lives"), new=FINE.format("kills")
    )
    assert main([], root)
    said = capfd.readouterr().out
    assert "lives" in said and "kills" in said
    assert said.count("2 passed") == 1 and said.count("1 passed") == 2


def test_one_failure_fails_it_and_the_rest_is_still_run(tmp_path, capfd):
    root = suite(tmp_path, unit="def test_it(): assert 0", mail=FINE, simulation=FINE, new=FINE)
    assert not main([], root)
    said = capfd.readouterr().out
    assert "1 failed, 1 passed" in said and said.count("1 passed") == 3
