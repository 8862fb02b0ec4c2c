import json
from pathlib import Path
from typing import Any

import pytest

from imagescreen.embedding.fingerprint import fingerprint_of, ingredients_of
from imagescreen.embedding.manifest import installed_fingerprint, installed_models
from imagescreen.embedding.model_config import parse_config
from imagescreen.errors import BrokenInstallation
from imagescreen.settings import BUILT_IN_MODEL

SHA256 = {"open_clip_config.json": "1" * 64, "open_clip_model.safetensors": "2" * 64, "tokenizer.json": "3" * 64}


def config() -> dict[str, Any]:
    return {
        "model_cfg": {
            "embed_dim": 8,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 8, "patch_size": 16},
            "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "resize_mode": "longest",
            "fill_color": 255,
        },
    }


def fingerprint(document: dict[str, Any], sha256: dict[str, str] = SHA256) -> str:
    return fingerprint_of(ingredients_of(parse_config(json.dumps(document).encode()), sha256))


def changed(section: str, part: str | None, key: str, value: object) -> dict[str, Any]:
    document = config()
    (document[section] if part is None else document[section][part])[key] = value
    return document


@pytest.mark.parametrize(
    "other",
    [
        changed("model_cfg", "vision_cfg", "layers", 2),
        changed("model_cfg", "vision_cfg", "pool_type", "avg"),
        changed("model_cfg", None, "quick_gelu", True),
        changed("preprocess_cfg", None, "mean", [0.4, 0.5, 0.5]),
        changed("preprocess_cfg", None, "resize_mode", "squash"),
        changed("preprocess_cfg", None, "fill_color", 0),
        changed("preprocess_cfg", None, "interpolation", "bilinear"),
        changed("model_cfg", "text_cfg", "context_length", 32),
        changed("model_cfg", "text_cfg", "hf_tokenizer_name", "someone/tokenizer"),
    ],
)
def test_whatever_moves_vectors_makes_another_space(other: dict[str, Any]) -> None:
    assert fingerprint(other) != fingerprint(config())


def test_other_weights_make_another_space() -> None:
    assert fingerprint(config(), SHA256 | {"open_clip_model.safetensors": "4" * 64}) != fingerprint(config())


def test_another_tokenizer_file_makes_another_space_only_where_it_is_used() -> None:
    other = SHA256 | {"tokenizer.json": "4" * 64}
    with_files = changed("model_cfg", "text_cfg", "hf_tokenizer_name", "someone/tokenizer")
    assert fingerprint(with_files, other) != fingerprint(with_files)
    assert fingerprint(config(), other) == fingerprint(config())


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(config().items())),
        changed("preprocess_cfg", None, "interpolation", "bicubic"),
        changed("preprocess_cfg", None, "interpolation", None),
        changed("preprocess_cfg", None, "size", 32),
        changed("model_cfg", "vision_cfg", "timm_model_pretrained", False),
    ],
)
def test_another_way_of_writing_the_same_config_is_the_same_space(same: dict[str, Any]) -> None:
    assert fingerprint(same) == fingerprint(config())


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed("model_cfg", "vision_cfg", "timm_model_name", "hf-hub:someone/model"), "place to load it from"),
        (changed("model_cfg", "text_cfg", "hf_model_name", "someone/text"), "another library"),
        (changed("model_cfg", "text_cfg", "tokenizer_kwargs", {"trust_remote_code": True}), "trust_remote_code"),
        (changed("model_cfg", "vision_cfg", "image_size", [32, 64]), "not square"),
        ({"model_cfg": {"embed_dim": 8}}, "vision_cfg"),
    ],
)
def test_config_that_asks_for_foreign_code_or_makes_no_sense_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_config(json.dumps(document).encode())


def test_built_in_model_keeps_its_space(shipped_weights: Path) -> None:
    """A change here makes every stored vector useless: it must be meant, with another PREPROCESSING_VERSION."""
    expected = "cbbb0d055035f56cb2bfe562dfedf6f3eeb57bf7bccbe6df7c2ce64f2aaade52"
    assert installed_fingerprint(BUILT_IN_MODEL, shipped_weights) == expected
    assert installed_models(shipped_weights)[BUILT_IN_MODEL] == expected


def test_model_that_is_not_installed_names_the_command(weights_copy: Path) -> None:
    with pytest.raises(BrokenInstallation, match=r"scripts/fetch_weights\.py vit-b-32-openai"):
        installed_fingerprint("vit-b-32-openai", weights_copy)
    assert set(installed_models(weights_copy)) == {BUILT_IN_MODEL}


def test_unknown_model_names_the_known_ones(weights_copy: Path) -> None:
    with pytest.raises(
        BrokenInstallation, match=rf"'nope'.*{BUILT_IN_MODEL} \(built in\), .*vit-b-32-openai.*fetch_weights"
    ):
        installed_fingerprint("nope", weights_copy)


def test_manifest_of_another_program_is_refused_and_says_how_to_renew_it(weights_copy: Path) -> None:
    path = weights_copy / BUILT_IN_MODEL / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["fingerprint"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(BrokenInstallation, match="--rewrite-manifest"):
        installed_fingerprint(BUILT_IN_MODEL, weights_copy)
    assert BUILT_IN_MODEL not in installed_models(weights_copy)
