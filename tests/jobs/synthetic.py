"""A catalogue of synthetic vectors, for tests that need many pictures and no model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagescreen.embedding.manifest import installed_fingerprint
from imagescreen.embedding.registry import entry_of
from imagescreen.evaluation.reindex_benchmark import fill
from imagescreen.jobs.progress import silent
from imagescreen.jobs.workbench import Store, open_store
from imagescreen.settings import BUILT_IN_MODEL
from tests.conftest import ROOT, settings_of

DIMENSION = entry_of(BUILT_IN_MODEL, ROOT / "weights").dimension


def fingerprint() -> str:
    return installed_fingerprint(BUILT_IN_MODEL, ROOT / "weights")


@contextmanager
def synthetic_store(
    home: Path, *, pictures: int, ordinary: int = 0, seed: int = 1, **settings: object
) -> Iterator[Store]:
    with open_store(settings_of(home, **settings)) as store:
        fill(
            store.database,
            pictures=pictures,
            ordinary=ordinary,
            fingerprint=fingerprint(),
            dimension=DIMENSION,
            progress=silent,
            seed=seed,
        )
        yield store
