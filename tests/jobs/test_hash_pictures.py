"""Pictures that were added without the extra `pdq` are hashed later, and copies of them are found then."""

from pathlib import Path

import pytest
from sqlalchemy import delete, select

from imagescreen.database.hashes import count_without_pdq
from imagescreen.database.tables import ReferenceHashRow
from imagescreen.jobs.hash_pictures import hash_pictures
from imagescreen.jobs.workbench import Workbench
from imagescreen.matching import HashQuery
from imagescreen.pictures import PdqHasher
from tests.material import new_reference, product

pytest.importorskip("pdqhash")


def test_hashing_later_gives_the_hashes_of_enrolment_and_goes_on_past_a_lost_file(bench: Workbench) -> None:
    ids = [bench.enrolment.add_one(new_reference(seed)).reference_id for seed in (1, 2, 3)]
    with bench.database.write() as session:
        before = {row.reference_id: (row.pdq, row.quality) for row in session.scalars(select(ReferenceHashRow))}
        assert set(before) == set(ids)
        session.execute(delete(ReferenceHashRow))
    sha256 = bench.catalogue.get(ids[1]).pictures[0].sha256
    next(Path(bench.settings.data_dir / "pictures").rglob(f"{sha256}*")).unlink()
    report = hash_pictures(bench)
    assert (report.hashed, len(report.failed)) == (2, 1)
    assert str(ids[1]) in report.failed[0]
    with bench.database.read() as session:
        after = {row.reference_id: row.quality for row in session.scalars(select(ReferenceHashRow))}
        assert count_without_pdq(session) == 1
    assert after == {one: before[one][1] for one in (ids[0], ids[2])}
    assert hash_pictures(bench).hashed == 0
    bench.follower.poll()
    hasher = PdqHasher.installed()
    assert hasher is not None
    header = bench.reader.header(product(3))
    found = hasher.hash(bench.reader.read(product(3), header, reduce_to=128).image)
    served = bench.follower.serving.current()
    (copies,) = served.hashes.copies([HashQuery(bytes(32), found.bits)], max_distance=4)
    assert [copy.reference_id for copy in copies] == [ids[2]]
