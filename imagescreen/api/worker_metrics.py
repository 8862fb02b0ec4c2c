"""Where the workers of one server keep their metrics, so that each can tell what they add up to.

Apart from the instruments, because the supervisor of the workers needs no more than this.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

WORKERS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the common folder; prometheus_client reads it when it is imported."""


@contextmanager
def workers_folder() -> Iterator[Path]:
    """A fresh folder for the workers that are started inside the block, gone at its end."""
    with TemporaryDirectory(prefix="imagescreen-metrics-") as folder:
        os.environ[WORKERS_FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[WORKERS_FOLDER]


def forget_worker(pid: int, folder: Path) -> None:
    """What a worker that is gone counted stays counted; what it told of its present state does not."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
