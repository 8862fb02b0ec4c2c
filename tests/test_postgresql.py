"""The service on PostgreSQL, from the first table to an answer over HTTP: the same parts, and a database server."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine, make_url, text

from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.database.tables import Base, CalibrationPackageRow, QuarantineRow, ReferenceRow
from imagescreen.jobs.background import add_background
from imagescreen.jobs.calibrate import calibrate, calibrate_with, measure_with
from imagescreen.jobs.noisy import trust, update_noisy
from imagescreen.jobs.workbench import open_workbench
from imagescreen.references.enrolment import NewPicture
from tests.conftest import serving, settings_of
from tests.jobs.calibrated import choose, ordinary
from tests.material import edited_product, new_reference, product

VARIABLE = "IMAGESCREEN_TEST_POSTGRESQL"
"""SQLAlchemy URL of a database server on which databases may be made, e.g. postgresql://postgres@127.0.0.1/postgres"""

POLICY = """
[rates]
review = 0.1
hold = 0.05
[noisy]
least_dismissed = 1
"""
ORDINARY = 20


def statement(server: URL, words: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(words))
    engine.dispose()


@pytest.fixture
def database_url() -> Iterator[str]:
    """A new, empty database on the server."""
    told = os.environ.get(VARIABLE)
    if not told:
        pytest.skip(f"{VARIABLE} is not set: no PostgreSQL server to test on")
    pytest.importorskip("pg8000", reason="the extra postgresql is not installed")
    server = make_url(told).set(drivername="postgresql+pg8000")
    name = f"imagescreen_{uuid4().hex}"
    statement(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        statement(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_the_migrations_make_the_tables_on_postgresql_and_take_an_earlier_calibration_with_them(
    database_url: str,
) -> None:
    database = Database(database_url)
    migrate(database, revision="0002")
    with database.write() as session:
        session.execute(
            text("INSERT INTO calibration_picture (sha256, size_bytes, source, created_at) VALUES ('7', 1, '', now())")
        )
    migrate(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with database.read() as session:
        assert [(row.content, row.counts) for row in session.query(CalibrationPackageRow)] == [("7", True)]
    database.close()


def test_a_reader_on_postgresql_sees_one_state_while_others_write(database_url: str) -> None:
    database = Database(database_url)
    migrate(database)
    with database.read() as session:
        assert session.query(QuarantineRow).count() == 0
        references = session.query(ReferenceRow).count()
        with database.write() as other:
            other.execute(
                text(
                    "INSERT INTO reference (id, kind, title, rights, agencies, hts_prefixes, severity, "
                    "suggested_action, state, look_alikes, created_at, updated_at) VALUES (gen_random_uuid(), "
                    "'known_item', 'tote', '[]', '[]', '[]', 'medium', 'hold', 'active', '[]', now(), now())"
                )
            )
        assert session.query(ReferenceRow).count() == references
    with database.read() as session:
        assert session.query(ReferenceRow).count() == references + 1
    database.close()


def test_the_service_works_on_postgresql_from_the_first_reference_to_a_noisy_one(
    database_url: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    settings = settings_of(tmp_path, database_url=database_url, policy_file=policy)
    with open_workbench(settings) as bench:
        bench.enrolment.add_one(new_reference(1))
        bench.enrolment.add_one(new_reference(title="watch", words=["a photo of a watch", "a wrist watch"]))
        shelf = [NewPicture(f"{seed}.jpg", product(seed)) for seed in range(2200, 2210)]
        assert add_background(bench, shelf, total=10, source="shelf").added == 10
        _, first = calibrate(bench, ordinary(ORDINARY), total=ORDINARY, source="test", built_by="test")
        # Once more, in place of packages of which half are the same.
        offered = ordinary(ORDINARY, 2000 + ORDINARY // 2)
        intake, built = calibrate(bench, offered, total=ORDINARY, source="test", replace=True, built_by="test")
        assert (intake.added, intake.known) == (ORDINARY // 2, ORDINARY // 2)
        assert first.thresholds is not None and built.thresholds is not None
        assert first.thresholds.packages == built.thresholds.packages == ORDINARY
        assert measure_with(bench, [], replace=False).thresholds == built.thresholds
    with serving(tmp_path, database_url=database_url, policy_file=str(policy)) as service:
        index = service.client.get("/v1/index").json()
        assert index["thresholds"]["packages"] == ORDINARY and index["words"]["references"] == 1
        assert index["normalisation"]["pictures"] == 10
        package = ("package", (None, '{"package_id": "PKG-1"}', "application/json"))
        shown, again, another = (
            service.client.post("/v1/screenings", files=[package, ("pictures", ("a.jpg", edited_product(number)))])
            for number in (1, 1, 2)
        )
        answer = shown.json()
        assert (shown.status_code, answer["disposition"]) == (201, "hold"), answer
        assert (again.status_code, again.json()) == (200, answer)
        assert another.status_code == 409 and answer["screening_id"] in another.json()["detail"]
        assert "described" in {match["kind"] for match in answer["pictures"][0]["matches"]}
        reference = answer["reasons"][0]["reference_id"]
        reviews = f"/v1/screenings/{answer['screening_id']}/reviews"
        assert service.client.post(reviews, json={"decision": "dismissed"}).status_code == 201
        with open_workbench(settings) as bench:
            assert [str(one.reference_id) for one in update_noisy(bench, bench.policy)] == [reference]
            assert service.client.get(f"/v1/references/{reference}").json()["quarantine"] is not None
            trust(bench, UUID(reference))
            # What was dismissed is an ordinary package.
            chosen = choose(bench).packages
            assert calibrate_with(bench, chosen, source="screenings", built_by="test")[0].added == 1
        assert '"level": "error"' not in service.log()
