"""Whatever comes in: one clear problem, a 4xx, never a hang."""

import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagescreen.references.sample.catalogue import cleared_sample_picture
from tests.conftest import Service

PICTURE = cleared_sample_picture()
BOUNDARY = "b0undary"
UNKNOWN = "01a1ffc6-69fd-7134-a023-000000000000"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The one shape of every error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["type"].startswith("urn:imagescreen:problem:")
    assert told["request_id"] == response.headers["x-request-id"]
    assert told["title"] and told["detail"]
    return told


def part(name: str, content: bytes, *, filename: str | None = None, content_type: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + content + b"\r\n"


def package_part(**members: Any) -> bytes:
    return part(
        "package", json.dumps({"package_id": "PKG-BAD-INPUT", **members}).encode(), content_type="application/json"
    )


END = f"--{BOUNDARY}--\r\n".encode()


def post(service: Service, content: bytes, content_type: str = MULTIPART) -> httpx.Response:
    return service.client.post("/v1/screenings", content=content, headers={"Content-Type": content_type})


def test_more_than_16_pictures_are_refused(sample_service: Service) -> None:
    files = [("package", (None, '{"package_id": "many"}', "application/json"))]
    files += [("pictures", ("a.jpg", PICTURE, "image/jpeg"))] * 17  # type: ignore[list-item]
    told = problem(sample_service.client.post("/v1/screenings", files=files), 422)
    assert "17" in told["detail"] and "16" in told["detail"]


def test_a_body_over_64_mib_is_refused(sample_service: Service) -> None:
    # Only announced: nobody has to send it all to be told.
    host, port = sample_service.client.base_url.host, sample_service.client.base_url.port
    with socket.create_connection((host, port or 80), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/screenings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {65 << 20}\r\n\r\n".encode()
        )
        answer = ""
        while "}" not in answer and (received := connection.recv(4096)):
            answer += received.decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "urn:imagescreen:problem:" in answer


def test_a_body_over_64_mib_without_a_length_is_refused(sample_service: Service) -> None:
    def chunks() -> Any:
        for _ in range(66):
            yield b" " * (1 << 20)

    try:
        response = sample_service.client.post(
            "/v1/screenings", content=chunks(), headers={"Content-Type": "application/json"}
        )
    except httpx.TransportError:
        return  # closed while we were still sending: refused as well
    problem(response, 413)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "JSON"),
        (b"", 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        (b'{"package": {"package_id": "\xff"}}', 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b"[]", 422, "object"),
        (b"null", 422, "object"),
        (b"{}", 422, "package"),
        (b'{"package": []}', 422, "package"),
        (b'{"package": {}}', 422, "package_id"),
        (b'{"package": {"package_id": ""}}', 422, "package_id"),
        (b'{"package": {"package_id": 7}}', 422, "package_id"),
        (b'{"package": {"package_id": "a\\u0000b"}}', 422, "U+0000"),
        (b'{"package": {"package_id": "x", "colour": 1}}', 422, "colour"),
        (b'{"package": {"package_id": "x", "items": [{"colour": 1}]}}', 422, "colour"),
        (b'{"package": {"package_id": "x", "revision": 0}}', 422, "revision"),
        (b'{"package": {"package_id": "x", "items": [{"pictures": [0]}]}}', 422, "picture 0"),
        (b'{"package": {"package_id": "x", "items": [{"origin_country": "China"}]}}', 422, "origin_country"),
        (b'{"package": {"package_id": "x"}, "photos": []}', 422, "photos"),
        (b'{"package": {"package_id": "x"}, "pictures": [{"data": "!!!"}]}', 422, "pictures"),
        (b'{"package": {"package_id": "x"}, "pictures": [{}]}', 422, "pictures"),
        (b'{"package": {"package_id": "x"}, "pictures": [{"data": "", "url": ""}]}', 422, "pictures"),
        (b'{"package": {"package_id": "x"}, "pictures": "a.jpg"}', 422, "pictures"),
    ],
)
def test_a_wrong_json_body_is_refused_and_named(sample_service: Service, body: bytes, status: int, named: str) -> None:
    assert named in problem(post(sample_service, body, "application/json"), status)["detail"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "image/jpeg", "x"])
def test_another_content_type_is_refused(sample_service: Service, content_type: str) -> None:
    told = problem(post(sample_service, b"package_id=x", content_type), 415)
    assert "multipart/form-data" in told["detail"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "named"),
    [
        (package_part() + part("pictures", PICTURE) + END, MULTIPART, 422, "file name"),
        (package_part() + part("pictures", PICTURE, filename="") + END, MULTIPART, 422, "file name"),
        (package_part() + part("photos", PICTURE, filename="a.jpg") + END, MULTIPART, 422, "photos"),
        (package_part() + package_part() + END, MULTIPART, 422, "twice"),
        (part("pictures", PICTURE, filename="a.jpg") + END, MULTIPART, 422, "package"),
        (END, MULTIPART, 422, "package"),
        (part("package", b"{") + END, MULTIPART, 400, "JSON"),
        (part("package", b'{"package_id": "\xe4"}') + END, MULTIPART, 400, "JSON"),
        (
            part("package", b'{"package_id": "x"}', content_type="application/json; charset=utf-16") + END,
            MULTIPART,
            400,
            "charset",
        ),
        (
            part("package", b'{"package_id": "x"}', content_type="application/json; charset=nonsense") + END,
            MULTIPART,
            400,
            "charset",
        ),
        (package_part(), MULTIPART, 400, "multipart"),
        (package_part() + part("pictures", PICTURE, filename="a.jpg")[:-200], MULTIPART, 400, "multipart"),
        (package_part() + END, "multipart/form-data", 400, "boundary"),
        (package_part() + END, "multipart/form-data; boundary=", 400, "boundary"),
        (package_part() + END, "multipart/form-data; boundary=other", 400, "multipart"),
        (package_part() + END, f"multipart/form-data; boundary={'b' * 300}", 400, "multipart"),
        (b"", MULTIPART, 400, "multipart"),
        (b"\0" * 1000, MULTIPART, 400, "multipart"),
    ],
)
def test_a_wrong_multipart_body_is_refused_and_named(
    sample_service: Service, content: bytes, content_type: str, status: int, named: str
) -> None:
    assert named in problem(post(sample_service, content, content_type), status)["detail"]


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "nonsense"])
def test_json_in_another_charset_is_refused(sample_service: Service, charset: str) -> None:
    body = b'{"package": {"package_id": "x"}}'
    told = problem(post(sample_service, body, f"application/json; charset={charset}"), 400)
    assert charset in told["detail"]


def test_a_problem_says_what_is_allowed(sample_service: Service) -> None:
    told = problem(sample_service.client.get("/v1/references?state=asleep"), 422)
    assert "state" in told["detail"] and "suspended" in told["detail"] and "of_state" not in told["detail"]
    review = sample_service.client.post(f"/v1/screenings/{UNKNOWN}/reviews", json={"decision": "maybe"})
    assert "confirmed, dismissed, unsure" in problem(review, 422)["detail"]
    told = problem(sample_service.client.get("/v1/screenings?since=yesterday"), 422)
    assert "2026-01-31T12:00:00Z" in told["detail"]


def test_a_file_name_and_content_type_are_never_trusted(sample_service: Service) -> None:
    body = package_part() + part("pictures", PICTURE, filename="../../x.exe", content_type="text/html") + END
    assert post(sample_service, body).json()["pictures"][0]["status"] == "screened"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/schema/nothing", 404),
        ("GET", f"/v1/screenings/{UNKNOWN}", 404),
        ("GET", "/v1/screenings/not-a-uuid", 404),
        ("GET", f"/v1/references/{UNKNOWN}", 404),
        ("GET", f"/v1/references/{UNKNOWN}/pictures/1/content", 404),
        ("DELETE", f"/v1/references/{UNKNOWN}/pictures/1", 404),
        ("PUT", "/v1/screenings", 405),
        ("DELETE", "/v1/index", 405),
        ("GET", "/v1/screenings?limit=0", 422),
        ("GET", "/v1/screenings?limit=many", 422),
        ("GET", "/v1/screenings?disposition=held", 422),
        ("GET", "/v1/screenings?since=2026-01-01T00:00:00", 422),
        ("GET", "/v1/screenings?dispositon=hold", 422),
        ("GET", "/v1/screenings?since=0001-01-01T00:00:00%2B14:00", 422),
        ("GET", "/v1/screenings?participant=a%00b", 422),
        ("GET", "/v1/references?after=x", 422),
        ("GET", "/v1/index?verbose=1", 422),
    ],
)
def test_every_route_has_the_one_error_shape(sample_service: Service, method: str, path: str, status: int) -> None:
    problem(sample_service.client.request(method, path), status)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"decision": "maybe"}, 422, "decision"),
        ({}, 422, "decision"),
        ({"decision": "confirmed", "mood": 1}, 422, "mood"),
    ],
)
def test_a_wrong_review_is_refused(sample_service: Service, body: Any, status: int, named: str) -> None:
    told = problem(sample_service.client.post(f"/v1/screenings/{UNKNOWN}/reviews", json=body), status)
    assert named in told["detail"]


def test_a_review_of_an_unknown_screening_is_not_found(sample_service: Service) -> None:
    problem(sample_service.client.post(f"/v1/screenings/{UNKNOWN}/reviews", json={"decision": "unsure"}), 404)


def test_a_request_id_of_the_caller_is_kept_when_it_is_a_plain_token(sample_service: Service) -> None:
    kept = sample_service.client.get("/nothing", headers={"X-Request-ID": "call-7"})
    assert kept.headers["x-request-id"] == "call-7"
    other = sample_service.client.get("/nothing", headers={"X-Request-ID": "a b\tc"})
    assert other.headers["x-request-id"] != "a b\tc"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=400)
    | st.builds(
        lambda position, byte: _changed(
            package_part(package_id="x") + part("pictures", b"x" * 50, filename="a") + END, position, byte
        ),
        st.integers(0, 10_000),
        st.integers(0, 255),
    ),
    boundary=st.sampled_from([BOUNDARY, BOUNDARY, f'"{BOUNDARY}"', "other", '"', ";", "a" * 71]),
)
def test_no_body_at_all_makes_the_server_fail(sample_service: Service, body: bytes, boundary: str) -> None:
    response = post(sample_service, body, f"multipart/form-data; boundary={boundary}")
    assert response.status_code in (200, 201, 400, 409, 413, 422)


def _changed(body: bytes, position: int, byte: int) -> bytes:
    at = position % len(body)
    return body[:at] + bytes([byte]) + body[at + 1 :]
