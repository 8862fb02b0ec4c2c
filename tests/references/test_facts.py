from datetime import UTC, datetime
from typing import Any

import pytest

from imagescreen.errors import InvalidContent
from imagescreen.references.facts import changed_facts, facts_from_columns, facts_from_json

TOTE: dict[str, Any] = {"title": "Acme tote", "category": "counterfeit"}


def test_only_title_and_category_are_required_and_the_defaults_match_at_once() -> None:
    facts = facts_from_json(TOTE)
    assert (facts.kind, facts.state, facts.suggested_action) == ("known_item", "active", "hold")


def test_genuine_and_not_goods_references_need_no_category() -> None:
    assert facts_from_json({"title": "Acme's own photo", "kind": "genuine"}).category is None


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({}, "title"),
        ({"title": "x"}, "category"),
        ({**TOTE, "colour": "red"}, "colour"),
        ({**TOTE, "severity": "extreme"}, "severity"),
        ({**TOTE, "hts_prefixes": ["abc"]}, "hts_prefixes"),
        ({**TOTE, "rights": [{"kind": "trademark", "number": "1"}]}, "number"),
        ({**TOTE, "valid_from": "2027-01-01T00:00:00"}, "valid_from"),
        ({**TOTE, "valid_from": "2027-01-02T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z"}, "valid_until"),
        ({**TOTE, "suspended_until": "2027-01-01T00:00:00Z"}, "suspended_until"),
        ({**TOTE, "look_alikes": ["not a uuid"]}, "look_alikes"),
        ({**TOTE, "words": "a handgun"}, "words"),
        ({**TOTE, "words": ["a handgun", "  "]}, "a phrasing in `words` or `contrast_words` is empty"),
        ({**TOTE, "words": ["x" * 201]}, "200"),
        ({**TOTE, "words": [f"phrase {n}" for n in range(21)]}, "20"),
        ({**TOTE, "words": ["a handgun"], "contrast_words": ["a handgun"]}, "comes twice"),
        ({**TOTE, "contrast_words": ["a hair dryer"]}, "tell `words` as well"),
        ({"title": "a chart", "kind": "not_goods", "words": ["a size chart"]}, "for known items only"),
        ({**TOTE, "title": ""}, "title"),
        ({**TOTE, "title": 7}, "title"),
        ({**TOTE, "valid_from": "0001-01-01T00:00:00+14:00"}, "valid_from"),
        ({**TOTE, "valid_until": "9999-12-31T23:59:59-14:00"}, "valid_until"),
        ({**TOTE, "category": "Counterfeit Goods"}, "category"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_named(members: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidContent, match=named):
        facts_from_json(members)


def test_columns_of_a_manifest_fill_every_field() -> None:
    facts = facts_from_columns(
        {
            "title": " Acme tote ",
            "category": "counterfeit",
            "agencies": "CBP; FDA",
            "hts_prefixes": "4202.21;4202.22",
            "right_kind": "trademark",
            "recordation_number": "TMK 11-00163",
            "right_classes": "18;25",
            "right_expires": "2031-05-01",
            "valid_until": "2030-01-01",
            "notes": "",
        }
    )
    assert facts.title == "Acme tote"
    assert facts.agencies == ["CBP", "FDA"]
    assert facts.rights[0].recordation_number == "TMK 11-00163"
    assert facts.rights[0].classes == ["18", "25"]
    assert facts.valid_until == datetime(2030, 1, 1, tzinfo=UTC)
    assert facts.notes is None


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"valid_from": "soon"}, "valid_from"),
        ({"rights": "[{"}, "rights"),
        ({"rights": "[]", "recordation_number": "TMK 1"}, "not both"),
        ({"severity": "very"}, "severity"),
        ({"title": "caf\udce9"}, "title"),
    ],
)
def test_a_wrong_cell_is_named(cells: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidContent, match=named):
        facts_from_columns({**TOTE, **cells})


def test_leaving_the_suspended_state_ends_its_date() -> None:
    suspended = facts_from_json({**TOTE, "state": "suspended", "suspended_until": "2027-01-01T00:00:00Z"})
    assert changed_facts(suspended, {"state": "active"}).suspended_until is None


def test_the_rules_hold_for_a_change_as_a_whole() -> None:
    with pytest.raises(InvalidContent, match="category"):
        changed_facts(facts_from_json(TOTE), {"category": None})
    with pytest.raises(InvalidContent, match="unknown field 'colour'"):
        changed_facts(facts_from_json(TOTE), {"colour": "red"})
