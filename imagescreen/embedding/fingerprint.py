"""The fingerprint of an embedding space: vectors are comparable only where it is the same.

The number format in which a model runs (float32, bfloat16, float16) is no part of it, because the vectors stay within
a cosine of 0.999; quantised weights are other weights and so another space.
"""

import hashlib
import json
from collections.abc import Mapping

import msgspec

from imagescreen.embedding.model_config import ModelConfig
from imagescreen.embedding.registry import CONFIG_FILE, WEIGHTS_FILE

PREPROCESSING_VERSION = 2
"""Version of the whole way from a picture's bytes to the model's input: decoding and resizing together.

Raise it with any change there that moves vectors, in this room or where pictures are decoded: a picture decoded at a
reduced scale, another resampling filter, another background. All stored vectors are then of another space.
"""

# Settings of open_clip's config that name where weights once came from and change nothing about the vectors.
_WITHOUT_EFFECT = frozenset({"timm_model_pretrained", "hf_tokenizer_name", "hf_model_pretrained"})


class Ingredients(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that defines an embedding space, as it is written into a model's manifest."""

    architecture: dict[str, object]
    weights_sha256: str
    preprocessing: dict[str, object]
    preprocessing_version: int
    pooling: dict[str, str]
    tokenizer: dict[str, object]


def ingredients_of(config: ModelConfig, sha256: Mapping[str, str]) -> Ingredients:
    """The ingredients of a model with this config, whose files have these hashes (file name -> sha256 hex)."""
    preprocessing: dict[str, object] = msgspec.to_builtins(config.preprocessing)
    if preprocessing["resize_mode"] != "longest":
        # Only the padding of `longest` has a colour.
        del preprocessing["fill_color"]
    return Ingredients(
        architecture=_effective(config.model),
        weights_sha256=sha256[WEIGHTS_FILE],
        preprocessing=preprocessing,
        preprocessing_version=PREPROCESSING_VERSION,
        pooling=config.pooling,
        tokenizer=_tokenizer(config, sha256),
    )


def fingerprint_of(ingredients: Ingredients) -> str:
    """sha256 in hex over the canonical JSON of the ingredients: sorted keys, no spaces, ASCII."""
    canonical = json.dumps(
        msgspec.to_builtins(ingredients), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _tokenizer(config: ModelConfig, sha256: Mapping[str, str]) -> dict[str, object]:
    tokenizer: dict[str, object] = {
        "kind": "files" if config.hub_tokenizer else "clip-bpe",
        "context_length": config.context_length,
        "options": config.tokenizer_options,
    }
    if config.hub_tokenizer:
        tokenizer["files"] = {
            name: digest for name, digest in sorted(sha256.items()) if name not in (CONFIG_FILE, WEIGHTS_FILE)
        }
    return tokenizer


def _effective(section: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _effective(value) if isinstance(value, dict) else value
        for key, value in section.items()
        if key not in _WITHOUT_EFFECT
    }
