"""Fetching a model of the registry from the model hub into its folder, whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imagescreen.embedding.encoder import describe_model
from imagescreen.embedding.hub import DEFAULT_BRANCH, FileOnHub, Hub, MissingOnHub
from imagescreen.embedding.manifest import (
    Manifest,
    check_files,
    check_no_strays,
    checked_config,
    file_sha256,
    model_folder,
    read_manifest,
)
from imagescreen.embedding.registry import CONFIG_FILE, WEIGHTS_FILE, HubFile, ModelEntry
from imagescreen.errors import BrokenInstallation, BrokenModel, FetchFailed, WrongUse


class Progress(Protocol):
    """Is told how a fetch goes on."""

    def file(self, name: str, total_bytes: int) -> None: ...

    def advance(self, received_bytes: int) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Fetched:
    """An installed model; `to_pin` are lines for the registry that it does not have yet."""

    manifest: Manifest
    already_there: bool
    to_pin: tuple[str, ...]


def fetch_model(entry: ModelEntry, weights_dir: Path, *, accept_licence: bool, progress: Progress) -> Fetched:
    """Install a model, unless it is there and whole.

    Every file is checked against the registry's sha256 or, where that is empty, the hub's own hash; then the model is
    loaded once to write its manifest, and its folder appears under its name in one step. Raises WrongUse for a licence
    that needs to be accepted, BrokenInstallation or BrokenModel for a folder that the registry or the user must put
    right, and FetchFailed for everything on the way.
    """
    folder = model_folder(entry, weights_dir)
    try:
        return Fetched(_installed(entry, folder), already_there=True, to_pin=())
    except BrokenInstallation as error:
        if entry.built_in:
            raise
        if folder.exists():
            progress.note(f"{error.detail} Fetching it again.")
    if folder.exists():
        check_no_strays(entry.name, folder, dict.fromkeys(entry.files, ""))
    if not entry.open_licence and not accept_licence:
        raise WrongUse(
            f"The model {entry.name!r} comes under the licence {entry.licence!r}, which is not an open one: "
            "read it and, if it allows your use, add --accept-license."
        )
    with _workspace(entry, weights_dir) as workspace:
        return _fetch(entry, folder, workspace, progress)


def rewrite_manifest(entry: ModelEntry, weights_dir: Path) -> Manifest:
    """Describe anew the files that are there: of a model of one's own, or after a change of the preprocessing.

    Raises BrokenModel when they are not a sound model.
    """
    folder = model_folder(entry, weights_dir)
    listed = [name for name in entry.files or (CONFIG_FILE, WEIGHTS_FILE) if (folder / name).is_file()]
    for required in (CONFIG_FILE, WEIGHTS_FILE):
        if required not in listed:
            raise BrokenModel(f"The folder of the model {entry.name!r} has no {required}.")
    for name in listed:
        pinned = entry.files[name].sha256 if entry.files else ""
        if pinned and file_sha256(folder / name) != pinned:
            raise BrokenModel(f"The file {name} of the model {entry.name!r} is not the one that the registry pins.")
    return describe_model(entry, folder, listed=listed, revision=entry.revision)


def _installed(entry: ModelEntry, folder: Path) -> Manifest:
    """The manifest of a whole installation that is the one which the registry pins."""
    manifest = read_manifest(entry, folder)
    check_files(entry.name, folder, manifest.files)
    for name, file in entry.files.items():
        if file.sha256 and manifest.files.get(name) != file.sha256:
            raise BrokenModel(f"The installed {name} of {entry.name!r} is not the one that the registry pins.")
    return manifest


def _fetch(entry: ModelEntry, folder: Path, workspace: Path, progress: Progress) -> Fetched:
    hub = Hub(entry.repository)
    model, downloads = workspace / entry.name, workspace / "downloads"
    model.mkdir()
    commit, found = _look_up_all(entry, hub)
    try:
        # The smallest first: a wrong config shows before the weights are transferred.
        for name, on_hub in sorted(found.items(), key=lambda item: item[1].size_bytes):
            progress.file(name, on_hub.size_bytes)
            downloaded = hub.download(on_hub, downloads, progress.advance)
            _check_content(name, downloaded, entry.files[name], on_hub)
            downloaded.replace(model / name)
            if name == CONFIG_FILE:
                checked_config(entry, model)
        progress.note("Every file is what its hash says; loading the model to describe it.")
        manifest = describe_model(entry, model, listed=list(found), revision=commit)
    except BrokenModel as error:
        raise FetchFailed(f"What the hub has is not usable: {error.detail}") from error
    _put_in_place(model, folder, workspace)
    return Fetched(manifest, already_there=False, to_pin=_lines_to_pin(entry, manifest))


def _look_up_all(entry: ModelEntry, hub: Hub) -> tuple[str, dict[str, FileOnHub]]:
    """The commit that every file is taken from, and the files by their local names; optional ones may be missing."""
    commit = entry.revision or hub.look_up(entry.files[CONFIG_FILE].path, DEFAULT_BRANCH).commit
    found: dict[str, FileOnHub] = {}
    for name, file in entry.files.items():
        try:
            on_hub = hub.look_up(file.path, commit)
        except MissingOnHub:
            if file.optional:
                continue
            raise
        if on_hub.commit != commit:
            raise FetchFailed(f"The hub answered with the commit {on_hub.commit} when asked for {commit}.")
        if file.sha256 and on_hub.sha256 and file.sha256 != on_hub.sha256:
            raise FetchFailed(
                f"The hub's {file.path} at {commit} has the sha256 {on_hub.sha256}, the registry pins {file.sha256}."
            )
        found[name] = on_hub
    return commit, found


def _check_content(name: str, path: Path, file: HubFile, on_hub: FileOnHub) -> None:
    """Raises FetchFailed unless the content has the pinned hash or, without one, the hub's."""
    sha256 = file_sha256(path)
    if file.sha256:
        if sha256 != file.sha256:
            raise FetchFailed(f"The received {name} has the sha256 {sha256}, the registry pins {file.sha256}.")
        return
    if on_hub.sha256:
        whole = sha256 == on_hub.sha256
    elif on_hub.git_blob:
        whole = _git_blob(path) == on_hub.git_blob
    else:
        raise FetchFailed(f"Neither the registry nor the hub has a hash of {name}, so it is not taken.")
    if not whole:
        raise FetchFailed(
            f"The received {name} is damaged: it does not have the hash that the hub gives, {on_hub.etag}."
        )


def _git_blob(path: Path) -> str:
    """The id that git gives a file: sha1 over a header with its length, and its content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _workspace(entry: ModelEntry, weights_dir: Path) -> Iterator[Path]:
    """A folder beside the models for what is not whole yet; left over from a killed run, it is cleared first.

    Raises FetchFailed when another run fetches into the same folder of weights.
    """
    workspace = weights_dir / f".fetching-{entry.name}"
    handle = os.open(weights_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchFailed("Another run is fetching weights into the same folder; wait for it to end.") from None
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir()
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
    finally:
        os.close(handle)


def _put_in_place(model: Path, folder: Path, workspace: Path) -> None:
    for path in model.iterdir():
        _flush(path)
    _flush(model)
    if folder.exists():
        folder.rename(workspace / "replaced")
    model.rename(folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lines_to_pin(entry: ModelEntry, manifest: Manifest) -> tuple[str, ...]:
    """Lines of TOML for what the registry does not pin yet."""
    lines = [] if entry.revision else [f'revision = "{manifest.revision}"']
    for name, sha256 in manifest.files.items():
        if not entry.files[name].sha256:
            lines += [f'[model.files."{name}"]', f'path = "{entry.files[name].path}"', f'sha256 = "{sha256}"']
    return tuple(lines)
