"""The OpenAPI document, and the running service held against it."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import Service, serving

DEADLINE_S = 280
"""Only ends a hang."""


def test_the_document_describes_both_bodies_and_the_one_error_shape(sample_service: Service) -> None:
    document = sample_service.client.get("/schema/openapi.json").json()
    for path, member in (("/v1/screenings", "package"), ("/v1/references", "reference")):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"multipart/form-data", "application/json"}
        for body in content.values():
            assert set(body["schema"]["properties"]) == {member, "pictures"}
        assert content["application/json"]["example"][member]
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["operationId"] and operation["summary"]
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]


def test_the_examples_of_the_document_work(sample_service: Service) -> None:
    document = sample_service.client.get("/schema/openapi.json").json()
    for path in ("/v1/screenings", "/v1/matches"):
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        response = sample_service.client.post(path, json=example)
        assert response.status_code in (200, 201), response.text
        assert response.json()["pictures"][0]["status"] == "screened"


def test_generated_requests_find_no_server_error_and_no_answer_off_the_document(
    sample_copy: Path, tmp_path: Path
) -> None:
    # A server of its own: what is generated stays in the catalogue, and in what readiness tells.
    with serving(sample_copy) as service:
        done = _generated_requests(service, tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def _generated_requests(service: Service, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{service.url}/schema/openapi.json",
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=12",
            "--seed=7",
            "--request-timeout=30",
            "--generation-database=none",
            "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
