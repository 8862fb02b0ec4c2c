"""The models that this service knows, read from `weights/models.toml`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

import msgspec

from imagescreen.errors import BrokenInstallation

REGISTRY_FILE = "models.toml"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"

# What a model's folder may consist of: JSON and sentencepiece tokenizers, plain text, and weights that cannot run code.
_SAFE_SUFFIXES = frozenset({".json", ".model", ".safetensors", ".txt"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class HubFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a hub repository. An empty `sha256` is one that nobody here knows yet."""

    path: str
    sha256: str = ""
    optional: bool = False


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model. `input_size` and `resize_mode` stay unset where only the model's own config can tell.

    `revision` is a commit of the hub repository; empty means that the fetching run resolves the branch and tells the
    commit to pin. A model without a `repository` is committed beside the registry. `random_weights` marks one that was
    never trained: it serves to measure speed, and nothing else.
    """

    name: str
    title: str
    description: str
    architecture: str
    licence: str
    open_licence: bool
    dimension: int
    text_side: bool
    pretrained: str = ""
    input_size: int | None = None
    resize_mode: Literal["longest", "shortest", "squash"] | None = None
    quick_gelu: bool = False
    download_mib: int = 0
    repository: str = ""
    revision: str = ""
    files: dict[str, HubFile] = {}
    random_weights: bool = False

    @property
    def built_in(self) -> bool:
        return not self.repository


class _Registry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[ModelEntry, ...]


def read_registry(weights_dir: Path) -> Mapping[str, ModelEntry]:
    """Every listed model by its name, in the order of the file.

    Raises BrokenInstallation when the file is missing, not TOML, or breaks a rule of an entry.
    """
    try:
        registry = msgspec.toml.decode((weights_dir / REGISTRY_FILE).read_bytes(), type=_Registry)
    except FileNotFoundError:
        raise BrokenInstallation(
            f"There is no {REGISTRY_FILE} in the folder of weights; the setting `weights_dir` names that folder."
        ) from None
    except (OSError, ValueError) as error:
        raise BrokenInstallation(f"{REGISTRY_FILE} cannot be read: {error}") from None
    entries: dict[str, ModelEntry] = {}
    for entry in registry.model:
        problem = "is listed twice" if entry.name in entries else next(_problems(entry), "")
        if problem:
            raise BrokenInstallation(f"{REGISTRY_FILE}: the model {entry.name!r} {problem}.")
        entries[entry.name] = entry
    return MappingProxyType(entries)


def entry_of(name: str, weights_dir: Path) -> ModelEntry:
    """The registry's entry of one model; BrokenInstallation that lists the known names for an unknown one."""
    registry = read_registry(weights_dir)
    if name not in registry:
        raise BrokenInstallation(
            f"There is no model {name!r} in {REGISTRY_FILE}; it lists {', '.join(_listed(registry))}, "
            "and `scripts/fetch_weights.py NAME` installs one of them."
        )
    return registry[name]


def is_model_name(name: str) -> bool:
    """Whether a model may be called so; its folder has its name."""
    return _NAME.fullmatch(name) is not None


def _listed(registry: Mapping[str, ModelEntry]) -> Iterator[str]:
    for name, entry in registry.items():
        yield f"{name} (built in)" if entry.built_in else name


def _problems(entry: ModelEntry) -> Iterator[str]:
    """What is wrong with an entry, each as the end of a sentence."""
    if not is_model_name(entry.name):
        yield "needs a name of lower-case letters, digits, dots, hyphens and underscores"
    if entry.revision and not _COMMIT.fullmatch(entry.revision):
        yield "has a revision that is not a commit (40 hexadecimal digits)"
    if entry.dimension < 1 or (entry.input_size is not None and entry.input_size < 1):
        yield "needs a positive dimension and input size"
    if entry.built_in and entry.files:
        yield "has files to fetch but no repository"
    if not entry.built_in and not {CONFIG_FILE, WEIGHTS_FILE} <= entry.files.keys():
        yield f"must list {CONFIG_FILE} and {WEIGHTS_FILE}"
    for local, file in entry.files.items():
        if PurePosixPath(local).name != local or local.startswith("."):
            yield f"has the file {local!r}, which is not a plain file name"
        if not {PurePosixPath(local).suffix, PurePosixPath(file.path).suffix} <= _SAFE_SUFFIXES:
            yield f"has the file {local!r}: only {', '.join(sorted(_SAFE_SUFFIXES))} are taken, never a pickle"
        if local.endswith(".safetensors") and local != WEIGHTS_FILE:
            yield f"must have its weights in one file, {WEIGHTS_FILE}"
        if file.sha256 and not _SHA256.fullmatch(file.sha256):
            yield f"has a sha256 of {local!r} that is not 64 hexadecimal digits"
