"""scripts/index.py as an operator runs it."""

from pathlib import Path

from imagescreen.jobs.reindex import rebuild
from imagescreen.screening.policy import read_policy
from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import script
from tests.jobs.synthetic import DIMENSION, synthetic_store


def test_versions_are_listed_verified_gone_back_to_and_pruned(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=30) as store:
        old, middle, new = (rebuild(store, read_policy(None), built_by="test").manifest.version for _ in range(3))
    listed = script("index.py", "list", home=tmp_path).stdout
    rows = {line.split()[0]: line.split() for line in listed.splitlines() if line.strip().startswith("2")}
    assert list(rows) == [new, middle, old]
    assert [row[1] == "yes" for row in rows.values()] == [True, False, False]
    assert {BUILT_IN_MODEL, "exact", "30"} <= set(rows[old])

    damaged = tmp_path / "index" / "versions" / middle / "manifest.json"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes().replace(b'"references": 8', b'"references": 9'))
    verified = script("index.py", "verify", home=tmp_path)
    assert verified.returncode == 1
    assert f"{new}: sound (30 pictures)" in verified.stdout and "was changed after the build" in verified.stdout
    assert script("index.py", "verify", old, new, home=tmp_path).returncode == 0
    assert "was changed after the build" in script("index.py", "list", home=tmp_path).stdout
    refused = script("index.py", "activate", middle, home=tmp_path)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)

    back = script("index.py", "activate", old, home=tmp_path)
    assert (back.returncode, "is current now: 8 references" in back.stdout) == (0, True), back.stderr
    pruned = script("index.py", "prune", "--keep", "1", home=tmp_path)
    assert (pruned.returncode, "versions deleted: 0" in pruned.stdout) == (0, True)
    script("index.py", "activate", new, home=tmp_path)
    pruned = script("index.py", "prune", "--keep", "1", home=tmp_path)
    assert f"deleted: {old}" in pruned.stdout and "versions deleted: 1" in pruned.stdout


def test_with_no_version_at_all_the_way_to_one_is_named(tmp_path: Path) -> None:
    assert "scripts/reindex.py" in script("index.py", "list", home=tmp_path).stdout
    missing = script("index.py", "activate", "20260101T000000Z-00000000", home=tmp_path)
    assert (missing.returncode, "not there" in missing.stderr) == (1, True)


def test_the_reindex_benchmark_measures_and_appends(tmp_path: Path) -> None:
    results = tmp_path / "performance.md"
    for title in ("First", "Second"):
        done = script(
            "benchmark_reindex.py",
            tmp_path / "bench",
            *("--pictures", "400", "--ordinary", "120", "--threads", "1", "--title", title, "--append", results),
            home=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    told = results.read_text(encoding="utf-8")
    assert told.count("| reading vectors |") == 2 and f"400 reference pictures of dimension {DIMENSION}" in told
    other = script("benchmark_reindex.py", tmp_path / "bench", "--pictures", "401", home=tmp_path)
    assert (other.returncode, "empty folder" in other.stderr) == (1, True)
