"""One repository of the model hub: what it says about a file, and the file itself.

Importing huggingface_hub fixes its settings for the process, so this module sets them first. A process that has loaded
a model is offline for good and gets no Hub.
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from imagescreen.errors import FetchFailed

DEFAULT_BRANCH = "main"

# Xet is a second protocol with other hosts; plain HTTPS does, and its content is hashed here anyway.
_ONLINE = {
    "HF_HUB_OFFLINE": "0",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_BLOB = re.compile(r"[0-9a-f]{40}")

Advance = Callable[[int], None]


class MissingOnHub(FetchFailed):
    """The repository has no such file at this commit."""


@dataclass(frozen=True)
class FileOnHub:
    """What the hub says about one file. `etag` is its sha256 or, for a file kept in git itself, its git blob id."""

    path: str
    commit: str
    etag: str
    size_bytes: int

    @property
    def sha256(self) -> str:
        """Empty where the hub only knows the git blob id."""
        return self.etag if _SHA256.fullmatch(self.etag) else ""

    @property
    def git_blob(self) -> str:
        return self.etag if _GIT_BLOB.fullmatch(self.etag) else ""


class Hub:
    """Read access to one repository. The endpoint is the library's own, `HF_ENDPOINT` in the environment."""

    def __init__(self, repository: str) -> None:
        loaded = sys.modules.get("huggingface_hub.constants")
        if loaded is not None and loaded.HF_HUB_OFFLINE:
            raise FetchFailed("This process is offline: weights are fetched by `scripts/fetch_weights.py` only.")
        os.environ.update(_ONLINE)
        from huggingface_hub import constants

        self.repository = repository
        self.endpoint = constants.ENDPOINT

    def look_up(self, path: str, revision: str) -> FileOnHub:
        """What the hub has at `path`; `revision` is a commit or a branch, the answer names the commit.

        Raises MissingOnHub, and FetchFailed when the hub cannot be reached or refuses.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(self.repository, path, revision=revision)
        try:
            found = get_hf_file_metadata(url)
        except Exception as error:
            raise self._failure(path, revision, error) from error
        if found.commit_hash is None or found.etag is None or found.size is None:
            raise FetchFailed(f"{self.endpoint} does not answer like a model hub: no commit, hash or size of {path}.")
        return FileOnHub(path=path, commit=found.commit_hash, etag=found.etag, size_bytes=found.size)

    def download(self, file: FileOnHub, folder: Path, advance: Advance) -> Path:
        """The file's content under `folder`, whose hash the caller checks; `advance` is told of the bytes received.

        Raises FetchFailed when the transfer fails, also after the library's own retries.
        """
        from huggingface_hub import hf_hub_download

        try:
            downloaded = hf_hub_download(
                self.repository,
                file.path,
                revision=file.commit,
                local_dir=folder,
                tqdm_class=cast(Any, _progress_class(advance)),
            )
        except Exception as error:
            raise self._failure(file.path, file.commit, error) from error
        return Path(downloaded)

    def _failure(self, path: str, revision: str, error: Exception) -> FetchFailed:
        from huggingface_hub import errors

        where = f"{self.repository} at {revision}"
        match error:
            case errors.RemoteEntryNotFoundError():
                return MissingOnHub(f"The hub has no file {path} in {where}.")
            case errors.GatedRepoError():
                return FetchFailed(f"The hub gives {where} only to accounts that accepted its terms (set HF_TOKEN).")
            case errors.RevisionNotFoundError():
                return FetchFailed(f"The hub has no revision {revision} of {self.repository}.")
            case errors.RepositoryNotFoundError():
                return FetchFailed(f"The hub has no public repository {self.repository}.")
            case _:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                return FetchFailed(f"Fetching {path} of {where} from {self.endpoint} failed: {reason}")


def _progress_class(advance: Advance) -> type:
    """What huggingface_hub takes for a progress bar, telling `advance` instead of drawing."""

    class Progress:
        def __init__(self, *, initial: int = 0, **_: object) -> None:
            advance(initial)

        def update(self, n: int = 1) -> None:
            advance(n)

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            return None

        def close(self) -> None:
            return None

    return Progress
