"""One entry of the sample catalogue: a reference's facts, and which rendered pictures show it.

Brands, right holders and all numbers of recordations, registrations, cases and recalls are invented. The statutes and
regulations are real ones of the United States, cited for the grounds that they are cited for here.
"""

import msgspec

from imagescreen.references.sample.rendered import ProductKind

SAMPLE_SOURCE = "sample catalogue"
"""The `source` of every sample reference, which tells them from a user's own."""

VALID_FROM = "2024-01-01T00:00:00Z"

Facts = dict[str, object]


class SampleReference(msgspec.Struct, frozen=True):
    """`facts` are the catalogue's fields as JSON values; `pictures` are (seed, kind, view) for `render_product`."""

    facts: Facts
    pictures: tuple[tuple[int, ProductKind, int], ...]


class Grounds(msgspec.Struct, frozen=True):
    """Why a known item is one, and what follows from it."""

    category: str
    authority: str
    agencies: tuple[str, ...]
    severity: str
    suggested_action: str


class Owner(msgspec.Struct, frozen=True):
    """An invented brand and its right holder, with the last digits of its numbers."""

    brand: str
    right_holder: str
    number: int

    def trademark(self, *classes: str) -> Facts:
        """A trademark in classes of the Nice Agreement, recorded with customs."""
        return {
            "kind": "trademark",
            "recordation_number": f"TMK 00-9{self.number:04}",
            "registration_number": f"SAMPLE-TM-{self.number:04}",
            "classes": list(classes),
            "expires": f"{2031 + self.number % 5}-06-30",
        }

    def copyright(self) -> Facts:
        return {
            "kind": "copyright",
            "recordation_number": f"COP 00-9{self.number:04}",
            "registration_number": f"SAMPLE-VA-{self.number:04}",
            "expires": f"{2034 + self.number % 5}-12-31",
        }

    def exclusion_order(self) -> Facts:
        """A limited exclusion order after an investigation under section 337 of the Tariff Act."""
        return {
            "kind": "exclusion_order",
            "registration_number": f"SAMPLE 337-TA-9{self.number:04}",
            "expires": f"{2030 + self.number % 5}-03-31",
        }


def views(seed: int, kind: ProductKind, count: int) -> tuple[tuple[int, ProductKind, int], ...]:
    """`count` pictures of one product."""
    return tuple((seed, kind, view) for view in range(count))


def known_item(
    grounds: Grounds,
    title: str,
    description: str,
    hts_prefixes: str,
    pictures: tuple[tuple[int, ProductKind, int], ...],
    *,
    owner: Owner | None = None,
    rights: tuple[Facts, ...] = (),
    notes: str | None = None,
) -> SampleReference:
    """A reference to an item that must not simply pass; `hts_prefixes` are separated by blanks."""
    facts: Facts = {
        "kind": "known_item",
        "title": title,
        "description": description,
        "category": grounds.category,
        "brand": owner.brand if owner else None,
        "right_holder": owner.right_holder if owner else None,
        "rights": list(rights),
        "agencies": list(grounds.agencies),
        "authority": grounds.authority,
        "hts_prefixes": hts_prefixes.split(),
        "severity": grounds.severity,
        "suggested_action": grounds.suggested_action,
        **_provenance(pictures),
        "notes": notes,
    }
    return SampleReference(facts, pictures)


def harmless(
    kind: str,
    title: str,
    description: str,
    pictures: tuple[tuple[int, ProductKind, int], ...],
    *,
    owner: Owner | None = None,
    rights: tuple[Facts, ...] = (),
) -> SampleReference:
    """A reference that speaks for what resembles it: `genuine` or `not_goods`."""
    facts: Facts = {
        "kind": kind,
        "title": title,
        "description": description,
        "brand": owner.brand if owner else None,
        "right_holder": owner.right_holder if owner else None,
        "rights": list(rights),
        "severity": "low",
        "suggested_action": "inform",
        **_provenance(pictures),
    }
    return SampleReference(facts, pictures)


def _provenance(pictures: tuple[tuple[int, ProductKind, int], ...]) -> Facts:
    seed, kind, _ = pictures[0]
    reference = f"SAMPLE-{kind.name.replace('_', '-')}-{seed:03}"
    return {"source": SAMPLE_SOURCE, "source_reference": reference, "valid_from": VALID_FROM, "state": "active"}
