"""References described in words, over HTTP; with real photographs, what the built-in model's words are worth."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from imagescreen.evaluation.photos import PhotoRow, PhotoSet
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.ordinary_packages import single_pictures
from imagescreen.jobs.workbench import open_workbench
from imagescreen.references.enrolment import NewPicture
from tests.api.test_references import eventually
from tests.conftest import Service, script, serving, settings_of
from tests.material import new_reference, product

Json = dict[str, Any]

POLICY = "[rates]\nreview = 0.05\nhold = 0.01\n[words]\nshare = 0.5\n"
"""39 packages are enough for words."""
ORDINARY = 240
SHOWN = 12


def add(service: Service, **members: Any) -> Json:
    told = {"title": f"described {uuid4()}", "category": "prohibited", **members}
    response = service.client.post("/v1/references", json={"reference": told})
    assert response.status_code == 201, response.text
    answer: Json = response.json()
    return answer


def by_words(service: Service, picture: bytes) -> dict[str, Json]:
    """Matches by the titles of their references."""
    answer = service.client.post("/v1/matches", files=[("pictures", ("a.jpg", picture))]).json()
    matches = answer["pictures"][0]["matches"]
    kinds = [one["kind"] for one in matches]
    # Never in between matches of other kinds, with whose scores theirs have nothing in common.
    assert kinds == sorted(kinds, key=lambda kind: kind == "described")
    return {one["title"]: one for one in matches if one["kind"] == "described"}


@pytest.fixture
def service(sample_service: Service) -> Iterator[Service]:
    """The shared server, on which nothing described is left behind."""
    yield sample_service
    for one in sample_service.client.get("/v1/references", params={"category": "prohibited"}).json()["items"]:
        if one["words"]:
            sample_service.client.patch(f"/v1/references/{one['reference_id']}", json={"state": "retired"})


def test_words_are_enrolled_shown_changed_and_suspended_over_http(service: Service) -> None:
    words, contrast = ["a photo of a revolver", "a handgun"], ["a photo of a hair dryer"]
    added = add(service, words=words, contrast_words=contrast)
    assert (added["words"], added["contrast_words"], added["pictures"]) == (words, contrast, [])
    path = f"/v1/references/{added['reference_id']}"
    assert service.client.get(path).json()["words"] == words
    match = by_words(service, product(1))[added["title"]]
    assert (match["phrase"] in words, match["reference_picture_id"]) == (True, None)
    # This version was built before there were any words: nothing is hidden, and nothing is flagged by them.
    assert (match["exceeds"], match["thresholds"]) == (None, {"review": None, "hold": None})
    told = service.client.get("/v1/index").json()["words"]
    assert (told["references"], told["phrases"]) == (1, 2)
    assert "no threshold was measured for words yet" in told["problem"]
    assert told["problem"] in service.client.get("/health/ready").json()["warnings"]
    changed = service.client.patch(path, json={"words": ["a wrist watch"]}).json()
    assert (changed["words"], changed["contrast_words"]) == (["a wrist watch"], contrast)
    assert by_words(service, product(1))[added["title"]]["phrase"] == "a wrist watch"
    service.client.patch(path, json={"state": "suspended"})
    assert by_words(service, product(1)) == {}
    assert service.client.get("/v1/index").json()["words"] == {"references": 0, "phrases": 0, "problem": None}


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"words": ["a handgun", " "]}, "a phrasing in `words` or `contrast_words` is empty"),
        ({"words": ["x" * 201]}, "length <= 200"),
        ({"words": [f"phrase {n}" for n in range(21)]}, "length <= 20"),
        ({"contrast_words": ["a hair dryer"]}, "tell `words` as well"),
        ({"words": "a handgun"}, "words"),
        ({}, "a reference needs 1 to 16 pictures, or `words`"),
    ],
)
def test_words_of_a_bad_kind_are_refused_in_one_sentence(service: Service, members: Json, told: str) -> None:
    reference = {"title": "revolver", "category": "prohibited", **members}
    response = service.client.post("/v1/references", json={"reference": reference})
    assert response.status_code == 422
    assert told in response.json()["detail"]


def test_words_that_a_script_adds_are_served_without_a_rebuild(service: Service, tmp_path: Path) -> None:
    manifest = tmp_path / "words.csv"
    manifest.write_text("title,category,words\nfrom a manifest,prohibited,a photo of a revolver;a handgun\n")
    done = script("add_references.py", manifest, home=service.home)
    assert "1 added" in done.stdout, done.stderr
    eventually(lambda: "from a manifest" in by_words(service, product(1)))


def test_a_class_that_is_described_in_words_is_found_on_photographs(photos_dir: Path, tmp_path: Path) -> None:
    photos = PhotoSet(photos_dir)
    rows = [row for row in photos.rows(use="test", tar="caltech101") if row.label not in ("watch", "camera")]
    ordinary = (NewPicture(row.member, photos.read(row)) for row in rows[:: len(rows) // ORDINARY][:ORDINARY])
    (tmp_path / "policy.toml").write_text(POLICY)
    policy = tmp_path / "policy.toml"
    with open_workbench(settings_of(tmp_path, policy_file=policy)) as bench:
        bench.enrolment.add_one(new_reference(1))
        watch = new_reference(title="watch", words=["a photo of a watch", "a picture of a watch on a white background"])
        watch_id = bench.enrolment.add_one(watch).reference_id
        built = calibrate(bench, single_pictures(ordinary), total=ORDINARY, source="test", built_by="test")[1]
    assert built.thresholds is not None and built.thresholds.words is not None
    with serving(tmp_path, policy_file=str(policy)) as service:

        def flagged(label: str) -> int:
            chosen = [row for row in photos.rows(use="test", tar="caltech101") if row.label == label]
            return sum(_flagged_by_words(service, photos, row, str(watch_id)) for row in chosen[:SHOWN])

        assert flagged("watch") >= 0.7 * SHOWN
        assert flagged("camera") <= 0.3 * SHOWN


def _flagged_by_words(service: Service, photos: PhotoSet, row: PhotoRow, watch: str) -> bool:
    picture = base64.b64encode(photos.read(row)).decode()
    answer = service.client.post(
        "/v1/screenings", json={"package": {"package_id": str(uuid4())}, "pictures": [{"data": picture}]}
    ).json()
    (match,) = [one for one in answer["pictures"][0]["matches"] if one["kind"] == "described"]
    pair = match["thresholds"]
    assert (match["reference_id"], pair["hold"], match["score"] > pair["review"]) == (
        watch,
        None,
        match["exceeds"] == "review",
    )
    codes = [one["code"] for one in answer["reasons"] if one.get("reference_id") == watch]
    assert codes == (["fits_words_of_reference"] if match["exceeds"] else [])
    return bool(codes)
