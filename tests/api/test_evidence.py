"""What speaks for and against a match besides its score, over HTTP: other references, copies, hashes, quarantine."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from imagescreen.pictures import PdqHasher
from tests.conftest import Service, script, serving
from tests.material import edited_product, product, turned_product

needs_pdq = pytest.mark.skipif(PdqHasher.installed() is None, reason="the extra pdq is not installed")
Turn = Image.Transpose
Json = dict[str, Any]


@pytest.fixture(scope="module")
def service(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = Path(shutil.copytree(sample_home, tmp_path_factory.mktemp("evidence") / "home"))
    with serving(home) as started:
        yield started


def in_other_bytes(seed: int, *turns: Turn) -> bytes:
    """`product(seed)`, smaller, compressed anew, and turned."""
    picture = Image.open(BytesIO(product(seed))).convert("RGB").resize((190, 240))
    for turn in turns:
        picture = picture.transpose(turn)
    file = BytesIO()
    picture.save(file, "JPEG", quality=60)
    return file.getvalue()


def small_png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (20, 20), "white").save(file, "PNG")
    return file.getvalue()


def add(service: Service, picture: bytes, **facts: Any) -> str:
    told = {"title": f"reference {uuid4()}", "category": "counterfeit", **facts}
    files: list[tuple[str, Any]] = [
        ("reference", (None, json.dumps(told), "application/json")),
        ("pictures", ("a.jpg", picture)),
    ]
    response = service.client.post("/v1/references", files=files)
    assert response.status_code == 201, response.text
    return str(response.json()["reference_id"])


def change(service: Service, reference_id: str, **facts: Any) -> Json:
    response = service.client.patch(f"/v1/references/{reference_id}", json=facts)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def screen(service: Service, picture: bytes) -> Json:
    package = json.dumps({"package_id": f"PKG-{uuid4()}"})
    files: list[tuple[str, Any]] = [("package", (None, package, "application/json")), ("pictures", ("a.jpg", picture))]
    response = service.client.post("/v1/screenings", files=files)
    assert response.status_code == 201, response.text
    answer: Json = response.json()
    return answer


def match_of(answer: Json, reference_id: str) -> Json | None:
    return next((one for one in answer["pictures"][0].get("matches", []) if one["reference_id"] == reference_id), None)


def codes_of(answer: Json, reference_id: str) -> list[str]:
    return [one["code"] for one in answer["reasons"] if one.get("reference_id") == reference_id]


def soon(found: Callable[[], Any]) -> Any:
    """What another process committed is served within two seconds; the deadline only ends a hang."""
    deadline = time.monotonic() + 60
    while not (value := found()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


def test_a_placeholder_suppresses_the_match_that_it_beats(service: Service) -> None:
    fake = add(service, edited_product(4))
    assert codes_of(screen(service, in_other_bytes(4)), fake) == ["resembles_reference"]
    placeholder = add(service, product(4), title="size chart", kind="not_goods", category=None)
    answer = screen(service, in_other_bytes(4))
    match = match_of(answer, fake)
    assert match is not None
    assert match["suppressed_by"] == placeholder
    assert match["exceeds"] is not None
    assert codes_of(answer, fake) == ["suppressed_by_not_goods"]
    assert "size chart" in next(one["text"] for one in answer["reasons"] if one.get("reference_id") == fake)
    stored = service.client.get(f"/v1/screenings/{answer['screening_id']}").json()
    assert stored["pictures"] == answer["pictures"]
    change(service, placeholder, state="retired")
    assert codes_of(screen(service, in_other_bytes(4)), fake) == ["resembles_reference"]


def test_a_genuine_reference_lowers_to_review_unless_it_is_a_known_look_alike(service: Service) -> None:
    fake = add(service, edited_product(6))
    assert screen(service, in_other_bytes(6))["disposition"] == "hold"
    genuine = add(service, product(6), kind="genuine", category=None)
    lowered = screen(service, in_other_bytes(6))
    match = match_of(lowered, fake)
    assert match is not None
    assert (lowered["disposition"], match["lowered_by"], match["exceeds"]) == ("review", genuine, "hold")
    assert codes_of(lowered, fake) == ["resembles_reference", "lowered_by_genuine"]
    change(service, genuine, look_alikes=[fake])
    assert screen(service, in_other_bytes(6))["disposition"] == "review"
    change(service, fake, look_alikes=[genuine])
    assert screen(service, in_other_bytes(6))["disposition"] == "hold"


@needs_pdq
def test_copies_are_named_as_such_until_their_reference_is_suspended(service: Service) -> None:
    known = add(service, product(2))
    same = screen(service, product(2))
    match = match_of(same, known)
    assert match is not None
    assert (match["kind"], match["distance"], match["exceeds"]) == ("same_picture", None, "hold")
    assert same["disposition"] == "hold"
    assert codes_of(same, known) == ["same_picture_as_reference"]
    for turns in ((), (Turn.ROTATE_90,), (Turn.FLIP_LEFT_RIGHT,), (Turn.ROTATE_180, Turn.FLIP_LEFT_RIGHT)):
        near = screen(service, in_other_bytes(2, *turns))
        match = match_of(near, known)
        assert match is not None
        assert match["kind"] == "near_copy"
        assert 0 < match["distance"] <= 31
        assert near["flagged"]
        assert codes_of(near, known)[0] == "near_copy_of_reference"
    change(service, known, state="suspended")
    for picture in (product(2), in_other_bytes(2, Turn.ROTATE_90)):
        assert match_of(screen(service, picture), known) is None


@needs_pdq
def test_a_partners_hashes_match_without_any_picture(service: Service, tmp_path: Path) -> None:
    hasher = PdqHasher.installed()
    assert hasher is not None
    pdq = hasher.hash(Image.open(BytesIO(product(3))).convert("RGB")).upright.hex()
    sheet = tmp_path / "partner.csv"
    sheet.write_text(
        "title,source_reference,pdq,sha256\n"
        f"partner's fake,1,{pdq},\n"
        f"too short,2,{pdq[1:]},\n"
        "no hash,3,,\n"
        f"blank,4,{'0' * 64},\n"
        f",5,{pdq},\n"
    )
    arguments = (sheet, "--source", "Partner A", "--category", "counterfeit")
    done = script("import_hashes.py", *arguments, home=service.home)
    assert done.returncode == 1, done.stderr
    assert "1 references added" in done.stdout and "4 rejected" in done.stdout
    rejected = (tmp_path / "partner.csv.rejected.csv").read_text().splitlines()[1:]
    assert [line.partition(",")[0] for line in rejected] == ["row 3", "row 4", "row 5", "row 6"]
    (listed,) = service.client.get("/v1/references", params={"source": "Partner A"}).json()["items"]
    assert (listed["pictures"], listed["hashes"][0]["pdq"], listed["matches_now"]) == ([], pdq, True)
    known = listed["reference_id"]
    answer = soon(lambda: (one := screen(service, in_other_bytes(3, Turn.ROTATE_270))) and match_of(one, known) and one)
    match = match_of(answer, known)
    assert match is not None
    assert (match["kind"], match["reference_picture_id"], match["similarity"]) == ("near_copy", None, None)
    assert answer["flagged"]
    again = script("import_hashes.py", *arguments, home=service.home)
    assert "0 references added" in again.stdout and "1 were there already" in again.stdout
    assert service.client.get("/v1/index").json()["copies"]["hashes_without_picture"] == 1
    change(service, known, state="suspended")
    assert match_of(screen(service, in_other_bytes(3)), known) is None


@pytest.mark.parametrize("file", [b"\xff\xd8 cut after its first bytes", small_png()], ids=["unreadable", "too_small"])
def test_the_file_that_a_partner_named_is_held_though_it_cannot_be_screened(
    service: Service, tmp_path: Path, file: bytes
) -> None:
    assert screen(service, file)["disposition"] == "not_screenable"
    sheet = tmp_path / "partner.csv"
    sheet.write_text(f"title,source_reference,sha256\nnamed by its file,1,{sha256(file).hexdigest()}\n")
    source = f"Partner {uuid4()}"
    done = script("import_hashes.py", sheet, "--source", source, "--category", "counterfeit", home=service.home)
    assert done.returncode == 0, done.stderr
    (listed,) = service.client.get("/v1/references", params={"source": source}).json()["items"]
    answer = soon(lambda: (one := screen(service, file)) and match_of(one, listed["reference_id"]) and one)
    assert (answer["disposition"], answer["incomplete"]) == ("hold", True)
    assert answer["pictures"][0]["status"] != "screened"
    assert codes_of(answer, listed["reference_id"]) == ["same_picture_as_reference"]


def test_a_reference_that_reviews_dismiss_again_and_again_is_quarantined_until_it_is_trusted(service: Service) -> None:
    noisy = add(service, turned_product(5))
    for _ in range(5):
        answer = screen(service, in_other_bytes(5))
        assert answer["disposition"] == "hold"
        path = f"/v1/screenings/{answer['screening_id']}/reviews"
        assert service.client.post(path, json={"decision": "dismissed"}).status_code == 201
    done = script("references.py", "noisy", "--update", home=service.home)
    assert done.returncode == 0, done.stderr
    assert noisy in done.stdout and "dismissed 5" in done.stdout
    lowered = soon(lambda: (one := screen(service, in_other_bytes(5)))["disposition"] == "review" and one)
    match = match_of(lowered, noisy)
    assert match is not None
    assert (match["quarantined"], match["exceeds"]) == (True, "hold")
    assert codes_of(lowered, noisy) == ["resembles_reference", "lowered_in_quarantine"]
    shown = change(service, noisy, notes="looked at")
    assert "dismissed 5" in shown["quarantine"]["why"]
    assert script("references.py", "trust", noisy, home=service.home).returncode == 0
    assert soon(lambda: screen(service, in_other_bytes(5))["disposition"] == "hold")
    assert "0 references in quarantine" in script("references.py", "noisy", "--update", home=service.home).stdout
