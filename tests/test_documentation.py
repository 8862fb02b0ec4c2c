"""What the documents promise is checked against the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagescreen.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py") if not path.name.startswith("_"))


def default_of(name: str) -> str:
    default = Settings.model_fields[name].default
    if default is None or default == "":
        return "(unset)"
    return str(default).lower() if isinstance(default, bool) else str(getattr(default, "value", default))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_readmes_table_with_its_default_and_sentence(name: str) -> None:
    row = f"| `{ENV_PREFIX}{name.upper()}` | `{default_of(name)}` | {Settings.model_fields[name].description} |"
    assert row in README


def test_the_readmes_table_has_no_setting_that_is_gone() -> None:
    told = re.findall(rf"^\| `{ENV_PREFIX}([A-Z_]+)` \|", README, re.MULTILINE)
    assert [name.lower() for name in told] == list(Settings.model_fields)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_in_the_readme_and_its_help_teaches(path: Path) -> None:
    assert f"scripts/{path.name}" in README
    shown = subprocess.run(
        [sys.executable, str(path), "--help"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert "Usage" in shown
    assert re.search(r"Example|Commands", shown)


def test_paths_that_the_documents_name_exist() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
