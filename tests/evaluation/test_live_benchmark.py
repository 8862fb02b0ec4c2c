"""The benchmark of a live index runs on real servers and says what it measured."""

from pathlib import Path

from tests.conftest import script


def test_changes_are_seen_in_every_process_and_appended_as_markdown(tmp_path: Path) -> None:
    report = tmp_path / "performance.md"
    done = script(
        "benchmark_live.py", "changes", "--processes", "2", "--rounds", "3", "--append", report, home=tmp_path
    )
    assert done.returncode == 0, done.stderr
    told = report.read_text(encoding="utf-8")
    assert "| all changes | " in told
    assert "`scripts/benchmark_live.py changes --processes 2 --rounds 3" in told
    # What it works on is its own, and gone.
    assert {path.name for path in tmp_path.iterdir()} == {"performance.md"}
