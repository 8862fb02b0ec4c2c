"""The main job, over HTTP against a real server process."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

from imagescreen.references.sample.catalogue import cleared_sample_picture, held_sample_picture
from tests.conftest import Service
from tests.material import blank, product

HELD = held_sample_picture()
CLEARED = cleared_sample_picture()


def noise(side: int) -> bytes:
    """A PNG in which there is much to see."""
    file = BytesIO()
    Image.effect_noise((side, side), 80).save(file, "PNG")
    return file.getvalue()


def new_package(**members: Any) -> dict[str, Any]:
    return {"package_id": f"PKG-{uuid4()}", **members}


def send(service: Service, package: dict[str, Any], *pictures: bytes) -> httpx.Response:
    files = [("package", (None, json.dumps(package), "application/json"))]
    return service.client.post(
        "/v1/screenings", files=[*files, *(("pictures", (f"{n}.jpg", data)) for n, data in enumerate(pictures))]
    )


def send_json(service: Service, package: dict[str, Any], *pictures: dict[str, str]) -> httpx.Response:
    return service.client.post("/v1/screenings", json={"package": package, "pictures": list(pictures)})


def base64_of(data: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(data).decode()}


def test_an_edited_copy_of_a_reference_is_held_with_its_evidence(sample_service: Service) -> None:
    response = send(sample_service, new_package(), HELD)
    assert response.status_code == 201
    answer = response.json()
    assert response.headers["location"] == f"/v1/screenings/{answer['screening_id']}"
    assert (answer["disposition"], answer["flagged"], answer["incomplete"]) == ("hold", True, False)
    best = answer["pictures"][0]["matches"][0]
    assert best["exceeds"] == "hold"
    # They are equal where one ordinary picture scored highest against its category and against all.
    assert best["score"] == best["similarity"] > best["thresholds"]["hold"] >= best["thresholds"]["review"]
    assert best["one_in"] >= 1000
    reason = answer["reasons"][0]
    assert (reason["code"], reason["position"]) == ("resembles_reference", 0)
    assert reason["reference_id"] == best["reference_id"]
    assert best["title"] in reason["text"]
    index = sample_service.client.get("/v1/index").json()
    assert answer["model"] == index["model"]
    assert answer["index"]["version"] == index["version"]
    assert answer["policy"]["version"] == index["policy_version"]
    assert set(answer["elapsed_ms"]) == {"decode", "embed", "search", "total"}


def test_ordinary_goods_are_cleared_with_the_nearest_references_shown(sample_service: Service) -> None:
    answer = send(sample_service, new_package(), CLEARED).json()
    assert (answer["disposition"], answer["flagged"], answer["reasons"]) == ("clear", False, [])
    matches = answer["pictures"][0]["matches"]
    assert len(matches) == 5
    assert [match["exceeds"] for match in matches] == [None] * 5
    assert [match["similarity"] for match in matches] == sorted((m["similarity"] for m in matches), reverse=True)


def test_json_with_base64_gives_the_same_result_as_multipart(sample_service: Service) -> None:
    by_parts = send(sample_service, new_package(), HELD, CLEARED).json()
    by_json = send_json(sample_service, new_package(), base64_of(HELD), base64_of(CLEARED)).json()
    for answer in (by_parts, by_json):
        for member in ("screening_id", "package_id", "screened_at", "elapsed_ms"):
            del answer[member]
    assert by_json["pictures"] == by_parts["pictures"]
    assert by_json["disposition"] == by_parts["disposition"]


def test_all_facts_of_a_package_are_stored_as_they_were_sent(sample_service: Service) -> None:
    package = new_package(
        revision=3,
        participant="carrier-7",
        filer_type="broker",
        entry_type="11",
        shipment_refs={"house_bill": "HB-77"},
        seller={"name": "Größe & Söhne", "account_id": "a-1", "marketplace": "example-market"},
        known_seller=False,
        items=[
            {
                "description": "canvas tote",
                "listing_url": "https://shop.example/1",
                "listed_price": 19.5,
                "currency": "USD",
                "quantity": 2,
                "hts": "4202.21.9000",
                "origin_country": "CN",
                "pictures": [0],
            }
        ],
    )
    answer = send(sample_service, package, CLEARED).json()
    stored = sample_service.client.get(f"/v1/screenings/{answer['screening_id']}").json()
    assert stored["package"] == package
    assert {name: stored[name] for name in answer} == answer


def test_the_same_package_again_gets_the_stored_result_and_other_content_is_a_conflict(
    sample_service: Service,
) -> None:
    package = new_package()
    first = send(sample_service, package, CLEARED)
    again = send(sample_service, package, CLEARED)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    other = send(sample_service, package, HELD)
    assert other.status_code == 409
    assert "revision" in other.json()["detail"]
    corrected = send(sample_service, package | {"revision": 2}, HELD)
    assert corrected.status_code == 201


def test_many_callers_with_one_package_get_one_screening(sample_service: Service) -> None:
    package = new_package()
    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(lambda _: send(sample_service, package, HELD), range(12)))
    assert sorted(response.status_code for response in responses) == [200] * 11 + [201]
    assert len({response.json()["screening_id"] for response in responses}) == 1


def test_a_broken_picture_neither_fails_nor_clears_its_package(sample_service: Service) -> None:
    answer = send(sample_service, new_package(), CLEARED, CLEARED[:3000]).json()
    assert (answer["disposition"], answer["incomplete"]) == ("review", True)
    screened, broken = answer["pictures"]
    assert screened["status"] == "screened"
    assert (broken["status"], broken["problem"]["type"]) == (
        "unreadable",
        "urn:imagescreen:problem:picture-unreadable",
    )
    assert answer["reasons"] == [
        {
            "code": "picture_not_screened",
            "position": 1,
            "text": f"picture 1 was not screened (unreadable): {broken['problem']['detail']}",
        }
    ]
    assert send(sample_service, new_package(), HELD, b"").json()["disposition"] == "hold"


def test_every_kind_of_unscreened_picture_has_a_status_of_its_own(sample_service: Service) -> None:
    answer = send_json(
        sample_service,
        new_package(),
        base64_of(b"%PDF-1.7 not a picture"),
        base64_of(noise(8)),
        base64_of(blank()),
        {"url": "https://shop.example/a.jpg"},
        base64_of(b"\xff\xd8\xff" + bytes(21 << 20)),
    ).json()
    assert [picture["status"] for picture in answer["pictures"]] == [
        "unsupported_format",
        "too_small",
        "low_information",
        "unavailable",
        "too_large",
    ]
    assert "not enabled" in answer["pictures"][3]["problem"]["detail"]
    assert answer["disposition"] == "not_screenable"
    assert not answer["flagged"]


def test_blank_and_tiny_pictures_beside_a_good_one_do_not_flag(sample_service: Service) -> None:
    answer = send(sample_service, new_package(), CLEARED, blank(), noise(8)).json()
    assert (answer["disposition"], answer["incomplete"]) == ("clear", True)
    assert [reason["position"] for reason in answer["reasons"]] == [1, 2]


def test_a_package_without_pictures_is_stored_as_not_screenable(sample_service: Service) -> None:
    response = send(sample_service, new_package())
    assert response.status_code == 201
    answer = response.json()
    assert (answer["disposition"], answer["pictures"]) == ("not_screenable", [])
    assert [reason["code"] for reason in answer["reasons"]] == ["no_pictures"]
    assert sample_service.client.get(response.headers["location"]).status_code == 200


def test_screenings_are_listed_newest_first_by_filter_and_page(sample_service: Service) -> None:
    participant = f"carrier {uuid4()}"
    for picture in (HELD, CLEARED, HELD, CLEARED, HELD):
        send(sample_service, new_package(participant=participant), picture)
    held = {"participant": participant, "disposition": "hold"}
    first = sample_service.client.get("/v1/screenings", params={**held, "limit": 2}).json()
    second = sample_service.client.get("/v1/screenings", params={**held, "limit": 2, "after": first["next"]}).json()
    rows = first["items"] + second["items"]
    assert [row["disposition"] for row in rows] == ["hold"] * 3
    assert [row["screened_at"] for row in rows] == sorted((row["screened_at"] for row in rows), reverse=True)
    assert second["next"] is None


def test_reviews_are_kept_and_the_latest_counts(sample_service: Service) -> None:
    participant = f"carrier {uuid4()}"
    answer = send(sample_service, new_package(participant=participant), HELD).json()
    path = f"/v1/screenings/{answer['screening_id']}/reviews"
    for decision in ("unsure", "dismissed"):
        response = sample_service.client.post(path, json={"decision": decision, "reason": "seen", "reviewer": "desk 4"})
        assert response.status_code == 201
        assert response.json()["reviewer_verified"] is False
    stored = sample_service.client.get(f"/v1/screenings/{answer['screening_id']}").json()
    assert [review["decision"] for review in stored["reviews"]] == ["unsure", "dismissed"]
    (row,) = sample_service.client.get("/v1/screenings", params={"participant": participant}).json()["items"]
    assert row["review"] == "dismissed"


def test_matches_of_pictures_are_told_without_storing_anything(sample_service: Service) -> None:
    before = sample_service.client.get("/v1/screenings", params={"limit": 1}).json()
    response = sample_service.client.post(
        "/v1/matches", files=[("pictures", ("a.jpg", HELD)), ("pictures", ("b.jpg", product(900)))]
    )
    assert response.status_code == 200
    answer = response.json()
    assert [len(picture["matches"]) >= 5 for picture in answer["pictures"]] == [True, True]
    assert answer["pictures"][0]["matches"][0]["exceeds"] == "hold"
    assert sample_service.client.get("/v1/screenings", params={"limit": 1}).json() == before
