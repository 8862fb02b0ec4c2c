"""The whole line on real photographs: edited copies of garments that are references, and garments that are not.

What the built-in model reaches is written in the README; these bounds hold it there. The service wants a flag for 90 %,
but garments of one seller on one carpet look alike, and some are the same garment photographed twice.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from imagescreen.evaluation.edited_copies import edited_copy
from imagescreen.evaluation.photos import PhotoSet
from imagescreen.evaluation.promise import central, flagged_distribution
from imagescreen.jobs.calibrate import calibrate
from imagescreen.jobs.ordinary_packages import single_pictures
from imagescreen.jobs.workbench import open_workbench
from imagescreen.references.enrolment import Enrolled, NewPicture, NewReference
from imagescreen.references.facts import facts_from_json
from tests.conftest import serving, settings_of

COUNT = 200
REVIEW_RATE = 0.04
POLICY = f"[rates]\nreview = {REVIEW_RATE}\nhold = 0.01\n"


def screened(client: httpx.Client, name: str, picture: bytes) -> dict[str, Any]:
    package = json.dumps({"package_id": name})
    response = client.post(
        "/v1/screenings", files=[("package", (None, package, "application/json")), ("pictures", ("a.jpg", picture))]
    )
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.timeout(600)
def test_edited_copies_of_garments_find_their_reference_and_other_garments_are_seldom_flagged(
    photos_dir: Path, tmp_path: Path
) -> None:
    photo_set = PhotoSet(photos_dir)
    test_rows = photo_set.rows(use="test", tar="clothing")
    chosen = np.random.default_rng(0).permutation(len(test_rows))
    references = [photo_set.read(test_rows[index]) for index in chosen[:COUNT]]
    others = [photo_set.read(test_rows[index]) for index in chosen[COUNT : 2 * COUNT]]
    ordinary = [photo_set.read(row) for row in photo_set.rows(use="calibrate", tar="clothing")]
    (tmp_path / "policy.toml").write_text(POLICY)
    policy_file = tmp_path / "policy.toml"

    ids: list[str] = []
    with open_workbench(settings_of(tmp_path, policy_file=policy_file)) as bench:
        for start in range(0, COUNT, 50):
            batch = [
                NewReference(
                    facts_from_json({"title": f"garment {number}", "category": "counterfeit"}),
                    [NewPicture(f"{number}.jpg", references[number])],
                )
                for number in range(start, start + 50)
            ]
            for result in bench.enrolment.add(batch):
                assert isinstance(result, Enrolled)
                ids.append(str(result.reference_id))
        pictures = (NewPicture(f"{number}.jpg", data) for number, data in enumerate(ordinary))
        calibrate(bench, single_pictures(pictures), total=len(ordinary), source="calibrate", built_by="test")

    rng = np.random.default_rng(1)
    with serving(tmp_path, policy_file=str(policy_file)) as service:
        edited = [
            screened(service.client, f"edited {number}", edited_copy(Image.open(BytesIO(data)), rng))
            for number, data in enumerate(references)
        ]
        fresh = [screened(service.client, f"other {number}", data) for number, data in enumerate(others)]

    first = [answer["pictures"][0]["matches"][0]["reference_id"] for answer in edited]
    right_first = float(np.mean([found == wanted for found, wanted in zip(first, ids, strict=True)]))
    flagged = float(np.mean([answer["flagged"] for answer in edited]))
    falsely = sum(answer["flagged"] for answer in fresh)
    # Of the 95 % of samples of this size in which a promise that is kept leads to so many.
    above = int(REVIEW_RATE * (len(ordinary) + 1))
    _, most = central(flagged_distribution(len(ordinary), above, COUNT))
    print(f"right reference first {right_first:.3f}, flagged {flagged:.3f}, others flagged {falsely / COUNT:.3f}")
    assert right_first >= 0.98
    assert flagged >= 0.7
    assert falsely <= most
