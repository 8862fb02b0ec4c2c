from pathlib import Path

import pytest

from imagescreen.embedding.registry import read_registry
from imagescreen.errors import BrokenInstallation
from imagescreen.settings import BUILT_IN_MODEL

ENTRY = """
[[model]]
name = "x"
title = "X"
description = "a model"
architecture = "ViT-B-32"
licence = "MIT"
open_licence = true
dimension = 8
text_side = false
"""
FETCHED = (
    ENTRY
    + """
repository = "someone/x"
[model.files."open_clip_config.json"]
path = "open_clip_config.json"
[model.files."open_clip_model.safetensors"]
path = "open_clip_model.safetensors"
"""
)


def test_shipped_registry_lists_the_promised_models(shipped_weights: Path) -> None:
    registry = read_registry(shipped_weights)
    assert next(iter(registry)) == BUILT_IN_MODEL
    assert {(entry.architecture, entry.pretrained) for entry in registry.values()} >= {
        ("ViT-B-32-quickgelu", "openai"),
        ("ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-B-32", "datacomp_xl_s13b_b90k"),
        ("ViT-B-16-SigLIP", "webli"),
        ("ViT-B-16-SigLIP2", "webli"),
    }
    assert {"Marqo/marqo-ecommerce-embeddings-B", "Marqo/marqo-ecommerce-embeddings-L"} <= {
        entry.repository for entry in registry.values()
    }


def test_every_listed_model_is_fetched_from_a_pinned_or_resolvable_revision_without_pickles(
    shipped_weights: Path,
) -> None:
    for entry in read_registry(shipped_weights).values():
        assert entry.built_in or len(entry.revision) in (0, 40)
        assert not any(file.path.endswith((".bin", ".pt", ".pth")) for file in entry.files.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[[model]\n", "cannot be read"),
        (ENTRY.replace('licence = "MIT"\n', ""), "licence"),
        (ENTRY + 'licens = "MIT"\n', "licens"),
        (ENTRY + ENTRY, "listed twice"),
        (ENTRY.replace('"x"', '"../x"'), "needs a name"),
        (FETCHED.replace("open_clip_model.safetensors", "open_clip_pytorch_model.bin"), "must list"),
        (FETCHED + '[model.files."extra.pkl"]\npath = "extra.pkl"\n', "never a pickle"),
        (FETCHED + '[model.files."../up.json"]\npath = "up.json"\n', "plain file name"),
        (FETCHED.replace('repository = "someone/x"', 'repository = "someone/x"\nrevision = "main"'), "not a commit"),
        (FETCHED + 'sha256 = "abc"\n', "64 hexadecimal digits"),
    ],
)
def test_faulty_registry_is_refused_in_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "models.toml").write_text(content)
    with pytest.raises(BrokenInstallation, match=said) as caught:
        read_registry(tmp_path)
    assert "models.toml" in caught.value.detail
    assert "\n" not in caught.value.detail


def test_missing_registry_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BrokenInstallation, match="weights_dir"):
        read_registry(tmp_path)
