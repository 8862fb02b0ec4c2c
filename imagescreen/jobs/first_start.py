"""Fills an empty catalogue with the rendered sample, so that the service can be seen working at once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagescreen.database.index_versions import current_version
from imagescreen.errors import BrokenInstallation, ImagescreenError
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench
from imagescreen.references.catalogue import ReferenceFilter
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import facts_from_json
from imagescreen.references.sample.catalogue import (
    SAMPLE_REFERENCES,
    SAMPLE_SOURCE,
    cleared_sample_picture,
    held_sample_picture,
    ordinary_pictures,
    reference_pictures,
)

ORDINARY_PICTURES = 1000
"""The built-in policy promises to hold 1 in 1,000 ordinary pictures, which needs 999."""

BATCH = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """`advice` is set when the catalogue is the user's own and cannot be served as it is."""

    held: Path
    cleared: Path
    advice: str | None
    is_sample: bool

    def told(self, port: int) -> Sequence[str]:
        """What to print before serving."""
        if self.advice is not None:
            return (self.advice,)
        if not self.is_sample:
            return ()
        return (
            "a sample package that is held:",
            f"  {_curl('SAMPLE-HELD', self.held, port)}",
            "a sample package that is cleared:",
            f"  {_curl('SAMPLE-CLEARED', self.cleared, port)}",
        )


def prepare_sample(bench: Workbench, progress: Progress = silent) -> Prepared:
    """Enrols the sample references, calibrates on rendered ordinary goods and builds an index version, once.

    Goes on where an interrupted first start stopped. A catalogue with anything of the user's own is left alone.
    """
    with bench.database.read() as session:
        current = current_version(session)
    own = _has_own_references(bench)
    advice = None
    if current is None and not own:
        _enrol(bench, progress)
        pictures = (NewPicture(f"ordinary {n}", data) for n, data in enumerate(ordinary_pictures(ORDINARY_PICTURES)))
        calibrate(
            bench,
            pictures,
            total=ORDINARY_PICTURES,
            source=SAMPLE_SOURCE,
            built_by="first start",
            progress=progress,
        )
    elif bench.follower.serving.current().snapshot.version is None:
        problem = bench.follower.serving.problem
        advice = f"{problem or 'there is no index version yet'}: build one with  .venv/bin/python scripts/reindex.py"
    folder = bench.settings.data_dir / "sample"
    held, cleared = folder / "held.jpg", folder / "cleared.jpg"
    if not own:
        folder.mkdir(parents=True, exist_ok=True)
        held.write_bytes(held_sample_picture())
        cleared.write_bytes(cleared_sample_picture())
    return Prepared(held, cleared, advice, not own)


def _has_own_references(bench: Workbench) -> bool:
    sample = {facts_from_json(reference.facts).title for reference in SAMPLE_REFERENCES}
    after = None
    while rows := bench.catalogue.list(ReferenceFilter(), limit=500, after=after):
        if any(row.source != SAMPLE_SOURCE or row.title not in sample for row in rows):
            return True
        after = rows[-1].reference_id
    return False


def _enrol(bench: Workbench, progress: Progress) -> None:
    done = 0
    for batch in _batches():
        wanted = [item for item in batch if not bench.enrolment.owners(item[1])]
        results = bench.enrolment.add([reference for reference, _ in wanted])
        for result in results:
            if isinstance(result, ImagescreenError):
                raise BrokenInstallation(f"a sample reference was refused: {result.detail}")
        done += len(batch)
        progress("adding sample references", done, len(SAMPLE_REFERENCES))


def _batches() -> Iterator[list[tuple[NewReference, list[str]]]]:
    """References with the sha256 of their pictures."""
    for start in range(0, len(SAMPLE_REFERENCES), BATCH):
        batch: list[tuple[NewReference, list[str]]] = []
        for sample in SAMPLE_REFERENCES[start : start + BATCH]:
            files = list(reference_pictures(sample))
            pictures = [NewPicture(f"view {view}", data) for view, data in enumerate(files)]
            batch.append(
                (
                    NewReference(facts_from_json(sample.facts), pictures),
                    [hashlib.sha256(data).hexdigest() for data in files],
                )
            )
        yield batch


def _curl(package_id: str, picture: Path, port: int) -> str:
    package = f'{{"package_id": "{package_id}"}}'
    return (
        f"curl -s -F 'package={package};type=application/json' -F 'pictures=@{picture}' "
        f"http://127.0.0.1:{port}/v1/screenings"
    )
