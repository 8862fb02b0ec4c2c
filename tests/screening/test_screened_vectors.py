"""With `cache_in_database` a picture that was screened before a restart is not embedded again; nor is it mistaken."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from imagescreen.database.tables import ScreeningPictureRow, ScreeningRow
from imagescreen.database.vectors import to_blob
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.references.sample.catalogue import cleared_sample_picture, held_sample_picture
from imagescreen.screening.package import Package, SubmittedPicture
from tests.conftest import settings_of

HELD = held_sample_picture()
CLEARED = cleared_sample_picture()


def disposition(bench: Workbench, package_id: str, picture: bytes) -> str:
    return bench.screener.screen(Package(package_id), [SubmittedPicture(picture)]).answer.disposition.value


def as_is(bench: Workbench) -> None:
    pass


def of_another_space(bench: Workbench) -> None:
    with bench.database.write() as session:
        session.execute(update(ScreeningRow).values(fingerprint="f" * 64))


def damaged(bench: Workbench) -> None:
    with bench.database.write() as session:
        session.execute(update(ScreeningPictureRow).values(vector=b"\xff" * 1024))


@pytest.mark.parametrize(
    ("setting", "change", "expected"),
    [
        (True, as_is, "hold"),
        (False, as_is, "clear"),
        (True, of_another_space, "clear"),
        (True, damaged, "clear"),
    ],
)
def test_a_vector_on_record_is_used_only_when_asked_for_sound_and_of_the_same_space(
    sample_copy: Path, setting: bool, change: Callable[[Workbench], None], expected: str
) -> None:
    with open_workbench(settings_of(sample_copy)) as bench:
        assert disposition(bench, "first", CLEARED) == "clear"
        encoder = bench.follower.serving.current().batcher.encoder
        header = bench.reader.header(HELD)
        image = bench.reader.read(HELD, header, reduce_to=encoder.input_side).image
        other = bench.follower.serving.current().batcher.embed([encoder.preprocess(image)])[0]
        with bench.database.write() as session:
            # So that one can see from the answer which vector was used.
            session.execute(update(ScreeningPictureRow).values(vector=to_blob(other)))
        change(bench)
    with open_workbench(settings_of(sample_copy, cache_in_database=setting)) as bench:
        assert disposition(bench, "second", CLEARED) == expected
