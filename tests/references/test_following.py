"""Following a feed that is longer than what is read at once."""

from pathlib import Path

from sqlalchemy import delete, update

from imagescreen.database.feed import ChangeKind, append_change, last_sequence
from imagescreen.database.tables import ReferencePictureRow, ReferenceRow, ReferenceVectorRow
from imagescreen.evaluation.reindex_benchmark import PICTURES_A_REFERENCE
from imagescreen.jobs.workbench import open_workbench
from tests.conftest import settings_of
from tests.jobs.synthetic import synthetic_store

REFERENCES = 6000
PICTURES = REFERENCES * PICTURES_A_REFERENCE


def test_a_long_feed_is_followed_from_its_start_to_its_end(tmp_path: Path) -> None:
    with synthetic_store(tmp_path, pictures=PICTURES) as store, store.database.write() as session:
        session.execute(delete(ReferenceVectorRow).where(ReferenceVectorRow.reference_picture_id.in_([1, PICTURES])))
    with open_workbench(settings_of(tmp_path)) as bench:
        snapshot = bench.follower.serving.current().snapshot
        assert (snapshot.picture_count, snapshot.reference_count) == (PICTURES - 2, REFERENCES)
        assert bench.follower.state().pictures_without_vector == 2
        with bench.database.read() as session:
            assert snapshot.sequence == last_sequence(session)
        with bench.database.write() as session:
            withdrawn = session.get_one(ReferencePictureRow, PICTURES).reference_id
            session.execute(update(ReferenceRow).where(ReferenceRow.id == withdrawn).values(state="retired"))
            append_change(session, ChangeKind.REFERENCE_CHANGED, reference_id=withdrawn)
        bench.follower.poll()
        assert bench.follower.serving.current().snapshot.reference_count == REFERENCES - 1
        assert bench.follower.state().pictures_without_vector == 1
