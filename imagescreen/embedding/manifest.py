"""The manifest in a model's folder, and the checks of that folder which need no torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from imagescreen.embedding.fingerprint import Ingredients, fingerprint_of, ingredients_of
from imagescreen.embedding.model_config import ModelConfig, disagreement, read_config
from imagescreen.embedding.registry import CONFIG_FILE, REGISTRY_FILE, WEIGHTS_FILE, ModelEntry, entry_of, read_registry
from imagescreen.errors import BrokenInstallation, BrokenModel, FingerprintMismatch

MANIFEST_FILE = "manifest.json"
_FORMAT = 1
_CHUNK_BYTES = 1 << 20
_REINDEX = ".venv/bin/python scripts/reindex.py"

# Suffixes under which checkpoints circulate. All but safetensors can carry code or would be picked up by open_clip.
_WEIGHTS_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".keras", ".msgpack", ".npy", ".npz", ".onnx", ".pickle", ".pkl"}
    | {".pt", ".pt2", ".pth", ".safetensors"}
)
# Files for people, which nothing loads.
_UNLISTED = frozenset({MANIFEST_FILE, "README.md", "LICENSE", "LICENSE.txt", "NOTICE"})


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model's folder holds. `test_picture_vector` is (dimension,) float32 of unit length."""

    format: int
    name: str
    repository: str
    revision: str
    dimension: int
    input_side: int
    fingerprint: str
    ingredients: Ingredients
    files: dict[str, str]
    test_picture_vector: list[float]


def model_folder(entry: ModelEntry, weights_dir: Path) -> Path:
    return weights_dir / entry.name


def read_manifest(entry: ModelEntry, folder: Path) -> Manifest:
    """The manifest of an installed model, checked against the registry, the config and this program.

    Reads no weights. Raises BrokenInstallation naming the command that fetches a model which is not installed, and
    BrokenModel when the manifest cannot be read, or describes another model than the folder's config, or was written
    by a program that preprocesses pictures in another way.
    """
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        raise BrokenInstallation(
            f"The model {entry.name!r} is not installed: run `scripts/fetch_weights.py {entry.name}`."
        ) from None
    except OSError as error:
        raise BrokenModel(f"{MANIFEST_FILE} of {entry.name!r} cannot be read: {error.strerror}.") from None
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except ValueError as error:
        raise _broken(entry, f"{MANIFEST_FILE} is not a manifest ({error})") from None
    if manifest.format != _FORMAT or manifest.name != entry.name:
        raise _broken(entry, f"{MANIFEST_FILE} is the manifest of something else")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if name not in manifest.files:
            raise _broken(entry, f"{MANIFEST_FILE} does not list {name}")
    config = checked_config(entry, folder)
    ingredients = ingredients_of(config, manifest.files)
    if fingerprint_of(ingredients) != manifest.fingerprint:
        raise BrokenModel(
            f"The manifest of {entry.name!r} does not describe how this program runs the model: "
            f"run `scripts/fetch_weights.py {entry.name} --rewrite-manifest` to describe it anew."
        )
    if manifest.dimension != config.dimension or len(manifest.test_picture_vector) != config.dimension:
        raise _broken(entry, f"{MANIFEST_FILE} and {CONFIG_FILE} disagree about the dimension")
    return manifest


def checked_config(entry: ModelEntry, folder: Path) -> ModelConfig:
    """The folder's config; BrokenModel when it is not plain or not what the registry says about the model."""
    config = read_config(folder)
    difference = disagreement(
        config,
        {
            "dimension": entry.dimension,
            "input_size": entry.input_size,
            "resize_mode": entry.resize_mode,
            "quick_gelu": entry.quick_gelu,
        },
    )
    if difference:
        raise BrokenModel(f"The files of {entry.name!r} are of another model: {difference}.")
    return config


def new_manifest(
    entry: ModelEntry, config: ModelConfig, files: Mapping[str, str], vector: list[float], *, revision: str
) -> Manifest:
    """The manifest of a model whose files have these hashes; `vector` is the float32 vector of the test picture."""
    ingredients = ingredients_of(config, files)
    return Manifest(
        format=_FORMAT,
        name=entry.name,
        repository=entry.repository,
        revision=revision,
        dimension=config.dimension,
        input_side=config.preprocessing.size,
        fingerprint=fingerprint_of(ingredients),
        ingredients=ingredients,
        files=dict(sorted(files.items())),
        test_picture_vector=rounded(vector),
    )


def rounded(vector: list[float]) -> list[float]:
    """To nine significant digits, which give back every float32 exactly."""
    return [float(f"{value:.9g}") for value in vector]


def encode_manifest(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def check_files(name: str, folder: Path, files: Mapping[str, str]) -> None:
    """Raises BrokenModel unless the folder holds exactly these files (name -> sha256 hex) and nothing else to load."""
    check_no_strays(name, folder, files)
    for file, sha256 in files.items():
        path = folder / file
        if not path.is_file():
            raise BrokenModel(f"The file {file} of the model {name!r} is missing; {_again(name)}.")
        if file_sha256(path) != sha256:
            raise BrokenModel(f"The file {file} of the model {name!r} is not what its manifest says; {_again(name)}.")


def check_no_strays(name: str, folder: Path, files: Mapping[str, str]) -> None:
    """Raises BrokenModel when something lies in the folder that a loader could take and that nobody listed."""
    for path in sorted(folder.iterdir()):
        if path.name in files or path.name in _UNLISTED or path.name.startswith("."):
            continue
        what = "other weights" if path.suffix.lower() in _WEIGHTS_SUFFIXES else "not listed in its manifest"
        raise BrokenModel(f"The folder of the model {name!r} holds {path.name}, which is {what}: remove it.")


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def installed_fingerprint(name: str, weights_dir: Path) -> str:
    """The fingerprint of an installed model, from its manifest and config; no weights are read.

    Raises BrokenInstallation for an unknown or not installed model, BrokenModel for a manifest that does not hold.
    """
    entry = entry_of(name, weights_dir)
    return read_manifest(entry, model_folder(entry, weights_dir)).fingerprint


def installed_models(weights_dir: Path) -> Mapping[str, str]:
    """Name -> fingerprint of every installed model with a sound manifest; a broken one counts as not installed.

    `installed_fingerprint` tells what is wrong with one that is missing here.
    """
    found: dict[str, str] = {}
    for name, entry in read_registry(weights_dir).items():
        try:
            found[name] = read_manifest(entry, model_folder(entry, weights_dir)).fingerprint
        except BrokenInstallation:
            continue
    return found


def require_maker(what: str, model: str, fingerprint: str, weights_dir: Path, *, preferred: str) -> None:
    """Raises one sentence with the command that helps, unless the model that made `what` is the one installed.

    FingerprintMismatch when what has its name is another one, or when nothing is listed under that name any more, as
    after a release with another built-in model: everything must be embedded anew then, with `preferred` if that is
    installed. BrokenInstallation when it can be fetched, or is not sound.
    """
    if model not in read_registry(weights_dir):
        installed = installed_models(weights_dir)
        instead = preferred if preferred in installed else next(iter(installed), preferred)
        raise FingerprintMismatch(
            f"{what} was made with model {model!r}, which {REGISTRY_FILE} does not list any more: nothing is lost, and "
            f"`{_REINDEX} --model {instead}` embeds everything anew"
        )
    found = installed_fingerprint(model, weights_dir)
    if found != fingerprint:
        raise FingerprintMismatch(
            f"{what} was made with model {model!r} of fingerprint {fingerprint}, the one installed has {found}: "
            f"`{_REINDEX} --model {model}` embeds everything anew"
        )


def _broken(entry: ModelEntry, what: str) -> BrokenModel:
    return BrokenModel(f"{what[0].upper()}{what[1:]} in the folder of {entry.name!r}; {_again(entry.name)}.")


def _again(name: str) -> str:
    return f"`scripts/fetch_weights.py {name}` installs the model anew"
