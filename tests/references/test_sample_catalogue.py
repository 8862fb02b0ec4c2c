"""The sample catalogue: complete, sound, unmistakably invented, and found again by the built-in model."""

import re
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagescreen.embedding.encoder import Encoder, load_encoder
from imagescreen.errors import InvalidContent
from imagescreen.references.facts import ReferenceFacts, ReferenceKind, SuggestedAction, facts_from_json
from imagescreen.references.sample.catalogue import (
    SAMPLE_REFERENCES,
    SAMPLE_SOURCE,
    cleared_sample_picture,
    edited_sample_copy,
    held_sample_picture,
    ordinary_pictures,
    reference_pictures,
)
from imagescreen.references.sample.rendered import render_product
from imagescreen.settings import BUILT_IN_MODEL, Device, DType

WEIGHTS = Path(__file__).parents[2] / "weights"

CATEGORIES = {
    *("counterfeit", "confusingly_similar", "piratical_copy", "gray_market"),
    *("exclusion_order", "prohibited", "restricted", "recalled"),
}


def all_facts() -> list[ReferenceFacts]:
    return [facts_from_json(reference.facts) for reference in SAMPLE_REFERENCES]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(BUILT_IN_MODEL, WEIGHTS, dtype=DType.FLOAT32, device=Device.CPU, threads=1)


def vectors(encoder: Encoder, pictures: list[bytes]) -> NDArray[np.float32]:
    prepared = [encoder.preprocess(Image.open(BytesIO(data)).convert("RGB")) for data in pictures]
    return np.concatenate([encoder.encode(np.stack(prepared[at : at + 32])) for at in range(0, len(prepared), 32)])


def test_every_category_and_kind_occurs() -> None:
    known = [facts for facts in all_facts() if facts.kind is ReferenceKind.KNOWN_ITEM]
    assert len(known) == 40
    assert {facts.category for facts in known} == CATEGORIES
    assert {facts.kind for facts in all_facts()} == set(ReferenceKind)
    assert {facts.suggested_action for facts in known} == {SuggestedAction.REVIEW, SuggestedAction.HOLD}


def test_a_known_item_has_what_an_analyst_looks_for() -> None:
    for facts in all_facts():
        assert facts.source == SAMPLE_SOURCE
        assert facts.source_reference
        assert facts.description
        if facts.kind is ReferenceKind.KNOWN_ITEM:
            assert facts.authority
            assert re.search(r"\d+ (U\.S\.C\.|CFR) ", facts.authority)
            assert facts.agencies
            assert facts.hts_prefixes
            # Whoever has a brand has a right, and the other way round.
            assert bool(facts.brand) == bool(facts.rights) == bool(facts.right_holder)


def test_numbers_have_the_form_of_real_ones_and_cannot_be_taken_for_them() -> None:
    rights = list(chain.from_iterable(facts.rights for facts in all_facts()))
    recorded = [right.recordation_number for right in rights if right.recordation_number]
    assert {number[:3] for number in recorded} == {"TMK", "COP"}
    assert all(re.fullmatch(r"(TMK|COP) 00-9\d{4}", number) for number in recorded)
    assert all((right.registration_number or "").startswith("SAMPLE") for right in rights)
    assert all(right.expires for right in rights)


def test_titles_are_unique_and_say_what_the_picture_shows() -> None:
    titles = [facts.title for facts in all_facts()]
    assert len(set(titles)) == len(titles)
    for reference, title in zip(SAMPLE_REFERENCES, titles, strict=True):
        seed, kind, _ = reference.pictures[0]
        assert title.startswith(render_product(seed, kind=kind, size=(32, 40)).title)


def test_each_reference_has_one_to_three_pictures_of_its_own() -> None:
    assert {len(reference.pictures) for reference in SAMPLE_REFERENCES} == {1, 2, 3}
    pictures = [picture for reference in SAMPLE_REFERENCES for picture in reference.pictures]
    assert len(set(pictures)) == len(pictures)


def test_ordinary_pictures_are_all_different_and_the_same_in_every_run() -> None:
    pictures = list(ordinary_pictures(60))
    assert len(set(pictures)) == 60
    assert list(ordinary_pictures(3)) == pictures[:3]
    assert cleared_sample_picture() not in pictures


def test_an_edited_copy_of_an_unknown_title_is_refused() -> None:
    with pytest.raises(InvalidContent, match="no sample reference"):
        edited_sample_copy("Acme tote")


def test_edited_copies_find_their_reference_and_stand_out_from_ordinary_goods(encoder: Encoder) -> None:
    known = [r for r in SAMPLE_REFERENCES if facts_from_json(r.facts).kind is ReferenceKind.KNOWN_ITEM]
    first = [next(reference_pictures(reference)) for reference in known]
    references = vectors(encoder, first)
    ordinary = (vectors(encoder, list(ordinary_pictures(300))) @ references.T).max(axis=1)
    copies = vectors(encoder, [edited_sample_copy(str(r.facts["title"]), 1) for r in known]) @ references.T
    assert (copies.argmax(axis=1) == np.arange(len(known))).mean() >= 0.95
    # Measured over 20 edits each and 1,000 ordinary goods: 98 % and 94 %.
    assert (copies.max(axis=1) > np.quantile(ordinary, 0.95)).mean() >= 0.9
    assert (copies.max(axis=1) > np.quantile(ordinary, 0.99)).mean() >= 0.8

    held, cleared = vectors(encoder, [held_sample_picture(), cleared_sample_picture()]) @ references.T
    assert held.argmax() == 0
    assert held.max() > ordinary.max()
    assert cleared.max() < np.quantile(ordinary, 0.9)
