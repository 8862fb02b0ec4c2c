"""The catalogue over HTTP, and that its changes take effect in the running server."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Service, script
from tests.material import edited_product, product


def add(service: Service, facts: dict[str, Any], *pictures: bytes) -> httpx.Response:
    files = [("reference", (None, json.dumps(facts), "application/json"))]
    return service.client.post(
        "/v1/references", files=[*files, *(("pictures", (f"{n}.jpg", data)) for n, data in enumerate(pictures))]
    )


def tote(**members: Any) -> dict[str, Any]:
    return {"title": "Acme tote", "category": "counterfeit", **members}


def best_match(service: Service, picture: bytes) -> dict[str, Any]:
    answer = service.client.post("/v1/matches", files=[("pictures", ("a.jpg", picture))]).json()
    best: dict[str, Any] = answer["pictures"][0]["matches"][0]
    return best


def disposition(service: Service, picture: bytes) -> str:
    response = service.client.post(
        "/v1/screenings",
        json={
            "package": {"package_id": str(uuid4())},
            "pictures": [{"data": base64.b64encode(picture).decode()}],
        },
    )
    return str(response.json()["disposition"])


def eventually(condition: Callable[[], bool]) -> None:
    """Changes of other processes take effect within a second or so; the deadline only ends a hang."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_added_reference_matches_at_once_and_a_suspended_one_no_more(sample_service: Service) -> None:
    response = add(sample_service, tote(), product(1))
    assert response.status_code == 201
    reference = response.json()
    path = f"/v1/references/{reference['reference_id']}"
    assert response.headers["location"] == path
    assert best_match(sample_service, edited_product(1))["reference_id"] == reference["reference_id"]
    assert disposition(sample_service, product(1)) == "hold"
    suspended = sample_service.client.patch(
        path, json={"state": "suspended", "suspended_until": "2099-01-01T00:00:00Z"}
    )
    assert (suspended.status_code, suspended.json()["matches_now"]) == (200, False)
    assert best_match(sample_service, edited_product(1))["reference_id"] != reference["reference_id"]
    sample_service.client.patch(path, json={"state": "active"})
    assert best_match(sample_service, edited_product(1))["reference_id"] == reference["reference_id"]


def test_a_script_in_another_process_changes_what_the_running_server_matches(sample_service: Service) -> None:
    reference_id = add(sample_service, tote(), product(2)).json()["reference_id"]
    done = script("references.py", "suspend", reference_id, home=sample_service.home)
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: best_match(sample_service, product(2))["reference_id"] != reference_id)
    script("references.py", "activate", reference_id, home=sample_service.home)
    eventually(lambda: best_match(sample_service, product(2))["reference_id"] == reference_id)


def test_every_field_is_kept_and_any_of_them_can_be_changed(sample_service: Service) -> None:
    facts = tote(
        kind="known_item",
        description="canvas, two handles",
        brand="Acme",
        right_holder="Acme Goods",
        rights=[
            {
                "kind": "trademark",
                "recordation_number": "TMK 11-00163",
                "registration_number": "1234567",
                "classes": ["18"],
                "expires": "2031-05-01",
            }
        ],
        agencies=["CBP"],
        authority="19 CFR 133.21",
        hts_prefixes=["4202.21"],
        severity="high",
        suggested_action="review",
        source="seizures",
        source_reference="S-1",
        valid_from="2025-01-01T00:00:00Z",
        valid_until="2099-01-01T00:00:00Z",
        state="draft",
        notes="first seen in spring",
        look_alikes=[str(uuid4())],
        submitted_by="desk 4",
    )
    reference = add(sample_service, facts, product(3), product(4)).json()
    assert {name: reference[name] for name in facts} == facts
    assert reference["submitted_by_verified"] is False
    assert [picture["width"] for picture in reference["pictures"]] == [240, 240]
    path = f"/v1/references/{reference['reference_id']}"
    changed = sample_service.client.patch(path, json={"notes": None, "severity": "low"}).json()
    assert (changed["notes"], changed["severity"], changed["brand"]) == (None, "low", "Acme")
    assert sample_service.client.get(path).json() == changed


def test_bytes_of_another_reference_are_a_conflict_that_names_it(sample_service: Service) -> None:
    first = add(sample_service, tote(), product(5)).json()
    response = add(sample_service, tote(title="copy"), product(5))
    assert response.status_code == 409
    assert response.json()["reference_id"] == first["reference_id"]
    assert first["reference_id"] in response.json()["detail"]


def test_a_near_duplicate_is_added_with_a_warning(sample_service: Service) -> None:
    first = add(sample_service, tote(), product(6)).json()
    # The same picture with one byte more behind its end: other bytes, the same vector.
    second = add(sample_service, tote(title="copy"), product(6) + b"\0")
    assert second.status_code == 201
    (warning,) = second.json()["near_duplicates"]
    assert warning["reference_id"] == first["reference_id"]


def test_pictures_are_added_read_and_removed(sample_service: Service) -> None:
    reference = add(sample_service, tote(), product(7)).json()
    path = f"/v1/references/{reference['reference_id']}/pictures"
    more = sample_service.client.post(
        path, files=[("pictures", ("a.jpg", product(7))), ("pictures", ("b.jpg", product(8)))]
    )
    assert more.status_code == 201
    first, second = more.json()["pictures"]
    content = sample_service.client.get(f"{path}/{second['reference_picture_id']}/content")
    assert (content.content, content.headers["content-type"]) == (product(8), "image/jpeg")
    assert content.headers["x-content-type-options"] == "nosniff"
    removed = sample_service.client.delete(f"{path}/{first['reference_picture_id']}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert sample_service.client.get(f"{path}/{first['reference_picture_id']}/content").status_code == 404
    assert sample_service.client.delete(f"{path}/{second['reference_picture_id']}").status_code == 409
    assert best_match(sample_service, product(8))["reference_id"] == reference["reference_id"]


def test_references_are_listed_by_page_and_filter(sample_service: Service) -> None:
    brand = f"brand {uuid4()}"
    for seed in (11, 12, 13):
        add(sample_service, tote(brand=brand, state="draft" if seed == 12 else "active"), product(seed))
    first = sample_service.client.get("/v1/references", params={"brand": brand, "limit": 2}).json()
    second = sample_service.client.get(
        "/v1/references", params={"brand": brand, "limit": 2, "after": first["next"]}
    ).json()
    assert (len(first["items"]), len(second["items"]), second["next"]) == (2, 1, None)
    drafts = sample_service.client.get("/v1/references", params={"brand": brand, "state": "draft"}).json()
    assert len(drafts["items"]) == 1


@pytest.mark.parametrize(
    ("facts", "pictures", "status", "named"),
    [
        ({"title": "x"}, [20], 422, "category"),
        (tote(colour="red"), [20], 422, "colour"),
        (tote(), [], 422, "1 to 16 pictures"),
        (tote(), ["broken"], 422, "picture 0"),
        (tote(valid_from="yesterday"), [20], 422, "valid_from"),
    ],
)
def test_a_wrong_reference_is_refused_and_named(
    sample_service: Service, facts: dict[str, Any], pictures: list[Any], status: int, named: str
) -> None:
    data = [b"not a picture" if picture == "broken" else product(picture) for picture in pictures]
    response = add(sample_service, facts, *data)
    assert response.status_code == status
    assert named in response.json()["detail"]
    assert best_match(sample_service, product(20))["similarity"] < 0.999


def test_a_reference_that_asks_to_inform_never_flags(sample_service: Service) -> None:
    add(sample_service, tote(suggested_action="inform", title="inform only"), product(30))
    add(sample_service, tote(suggested_action="review", title="review at most"), product(31))
    assert disposition(sample_service, product(30)) == "clear"
    assert disposition(sample_service, product(31)) == "review"


def test_genuine_and_not_goods_references_are_shown_but_never_flag(sample_service: Service) -> None:
    add(sample_service, {"title": "Acme's own photo", "kind": "genuine"}, product(32))
    best = best_match(sample_service, product(32))
    assert (best["title"], best["exceeds"]) == ("Acme's own photo", None)
    assert disposition(sample_service, product(32)) == "clear"
