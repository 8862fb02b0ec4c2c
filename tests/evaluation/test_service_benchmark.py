"""The benchmark of the service runs on real servers, with every side, and says and draws what it measured."""

from pathlib import Path

from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import ROOT, script


def test_every_side_is_measured_appended_as_markdown_and_drawn(tmp_path: Path) -> None:
    report, plot = tmp_path / "performance.md", tmp_path / "service.png"
    options: list[str | Path] = [
        "--model",
        BUILT_IN_MODEL,
        "--count",
        "2",
        "--references",
        "50",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
    ]
    options += ["--append", report, "--plot", plot]
    done = script("benchmark.py", *options, home=tmp_path / "home", weights_dir=str(ROOT / "weights"))
    assert done.returncode == 0, done.stderr
    told = report.read_text(encoding="utf-8")
    for row in ("batch 32", "scaled decode", "service, each upload another file | 64", "straightforward service | 16"):
        assert row in told
    assert "share of the bound at 16 at once" in told
    assert plot.read_bytes().startswith(b"\x89PNG")
