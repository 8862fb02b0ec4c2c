"""The facts of a package, as participants submit them. Every coded text is open: no regime is hard-wired."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from imagescreen.errors import InvalidContent

Text = Annotated[str, Meta(max_length=500)]
LongText = Annotated[str, Meta(max_length=20_000)]
CodeText = Annotated[str, Meta(min_length=1, max_length=100)]


class Seller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Text | None = None
    account_id: Text | None = None
    marketplace: Text | None = None


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a package. `pictures` are positions in the package's list of pictures."""

    description: LongText | None = None
    listing_url: Annotated[str, Meta(max_length=4_000, description="Recorded, never fetched.")] | None = None
    listed_price: Annotated[float, Meta(ge=0)] | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217.", examples=["USD"])] | None = None
    quantity: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    hts: Annotated[str, Meta(pattern=r"^[0-9]{2,10}(\.[0-9]{1,4}){0,3}$", examples=["4202.21.9000"])] | None = None
    origin_country: (
        Annotated[str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.", examples=["CN"])] | None
    ) = None
    pictures: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=1000)] = []


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only `package_id` is required."""

    package_id: Annotated[str, Meta(min_length=1, max_length=200, examples=["PKG-1"])]
    revision: Annotated[int, Meta(ge=1, le=2_147_483_647, description="Raised for a corrected package.")] = 1
    participant: Annotated[str, Meta(max_length=200, description="Who transmits; package ids are unique to it.")] = ""
    filer_type: CodeText | None = None
    entry_type: Annotated[CodeText | None, Meta(description="Open coded text.", examples=["11"])] = None
    shipment_refs: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=100)], Text],
        Meta(max_length=50, description="Kind of reference to its value.", examples=[{"house_bill": "HB-77"}]),
    ] = {}
    seller: Seller | None = None
    known_seller: bool | None = None
    items: Annotated[list[Item], Meta(max_length=1000)] = []


@dataclass(frozen=True)
class SubmittedPicture:
    """Untrusted bytes, or the URL that was given in their place."""

    data: bytes | None = None
    url: str | None = None

    @cached_property
    def sha256(self) -> str | None:
        """In hex, of the bytes; computed once, however often it is asked for."""
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()


def package_from_json(data: Any) -> Package:
    """Raises InvalidContent that names the field and what is allowed."""
    try:
        return msgspec.convert(data, Package, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidContent(f"package: {error}", errors=(str(error),)) from None


def check_positions(package: Package, pictures: int) -> None:
    """Raises InvalidContent when an item names a picture that was not sent."""
    for number, item in enumerate(package.items):
        for position in item.pictures:
            if position >= pictures:
                raise InvalidContent(
                    f"package: items[{number}].pictures names picture {position}, but there are {pictures} "
                    "(positions count from 0)"
                )


def content_hash(package: Package, pictures: Sequence[SubmittedPicture]) -> str:
    """What makes two submissions the same: the facts, and the pictures in their order."""
    digest = hashlib.sha256(msgspec.json.encode(package, order="deterministic"))
    for picture in pictures:
        told = bytes.fromhex(picture.sha256) if picture.sha256 is not None else (picture.url or "").encode()
        digest.update(len(told).to_bytes(4, "big") + told)
    return digest.hexdigest()
