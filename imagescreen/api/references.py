"""The reference catalogue."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.params import Parameter

from imagescreen.api.bodies import Submission, read_json, read_submission
from imagescreen.api.paging import After, Limit, Page, page
from imagescreen.api.work import Desk, desk_of
from imagescreen.errors import InvalidContent
from imagescreen.pictures import PICTURE_MEDIA_TYPES, PictureFormat
from imagescreen.references.catalogue import ReferenceFilter
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.facts import ReferenceKind, ReferenceState, facts_from_json
from imagescreen.references.near_duplicates import NearDuplicate
from imagescreen.references.stored import StoredReference


class AddedReference(StoredReference, frozen=True, kw_only=True):
    """`near_duplicates` warns: these pictures nearly equal one of another reference. They were added all the same."""

    near_duplicates: list[NearDuplicate]


class ReferenceController(Controller):
    path = "/v1/references"
    tags = ("references",)

    @post("/", operation_id="add_reference", summary="Add a reference")
    async def add(self, request: Request[Any, Any, Any]) -> Response[AddedReference]:
        """Adds a reference with its pictures, or words; it matches from the next request on, without a rebuild.

        409 when another reference has a picture with the same bytes; the answer names it.
        """
        desk = desk_of(request)
        async with desk.body_slot() as patience:
            submission = await desk.receive(read_submission(request, "reference"), patience)
            added = await desk.do(_add, desk, submission)
        return Response(added, status_code=201, headers={"Location": f"/v1/references/{added.reference_id}"})

    @get("/", operation_id="list_references", summary="List references")
    async def list_references(
        self,
        request: Request[Any, Any, Any],
        *,
        # Litestar reserves the name `state` for its own.
        of_state: Annotated[ReferenceState | None, Parameter(query="state")] = None,
        kind: ReferenceKind | None = None,
        category: str | None = None,
        brand: str | None = None,
        source: str | None = None,
        source_reference: str | None = None,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[StoredReference]:
        """Oldest first; every filter that is given must agree exactly."""
        desk = desk_of(request)
        wanted = ReferenceFilter(of_state, kind, category, brand, source, source_reference)
        rows = await desk.do(lambda: desk.bench.catalogue.list(wanted, limit=limit + 1, after=after))
        return page(rows, limit, lambda row: row.reference_id)

    @get("/{reference_id:uuid}", operation_id="get_reference", summary="Read a reference")
    async def get_reference(self, request: Request[Any, Any, Any], reference_id: UUID) -> StoredReference:
        """Its facts, pictures, and whether it can match now."""
        desk = desk_of(request)
        return await desk.do(desk.bench.catalogue.get, reference_id)

    @patch("/{reference_id:uuid}", operation_id="change_reference", summary="Change a reference")
    async def change(self, request: Request[Any, Any, Any], reference_id: UUID) -> StoredReference:
        """Replaces the fields that are given, e.g. `{"state": "suspended"}`; takes effect without a rebuild."""
        desk = desk_of(request)
        changes = await desk.receive(read_json(request))
        return await desk.do(desk.bench.catalogue.change, reference_id, changes)

    @post("/{reference_id:uuid}/pictures", operation_id="add_reference_pictures", summary="Add pictures")
    async def add_pictures(self, request: Request[Any, Any, Any], reference_id: UUID) -> Response[AddedReference]:
        """Adds pictures to a reference. Those it has already change nothing; 409 for those of another."""
        desk = desk_of(request)
        async with desk.body_slot() as patience:
            submission = await desk.receive(read_submission(request, None), patience)
            added = await desk.do(_add_pictures, desk, reference_id, submission)
        return Response(added, status_code=201, headers={"Location": f"/v1/references/{reference_id}"})

    @delete(
        "/{reference_id:uuid}/pictures/{picture_id:int}",
        operation_id="remove_reference_picture",
        summary="Remove a picture",
    )
    async def remove_picture(
        self,
        request: Request[Any, Any, Any],
        reference_id: UUID,
        picture_id: Annotated[int, Parameter(ge=1, le=(1 << 63) - 1)],
    ) -> None:
        """The picture stops matching without a rebuild. 409 for the last picture of a reference without words."""
        desk = desk_of(request)
        await desk.do(desk.bench.catalogue.remove_picture, reference_id, picture_id)

    @get(
        "/{reference_id:uuid}/pictures/{picture_id:int}/content",
        operation_id="get_reference_picture",
        summary="Read a picture",
    )
    async def picture_content(
        self,
        request: Request[Any, Any, Any],
        reference_id: UUID,
        picture_id: Annotated[int, Parameter(ge=1, le=(1 << 63) - 1)],
    ) -> Response[bytes]:
        """The stored file, byte for byte."""
        desk = desk_of(request)
        data, picture_format = await desk.do(desk.bench.catalogue.picture_content, reference_id, picture_id)
        # The bytes came from outside: a browser must not take them for anything but a picture.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return Response(data, media_type=PICTURE_MEDIA_TYPES[PictureFormat(picture_format)], headers=headers)


def _new_pictures(submission: Submission) -> list[NewPicture]:
    pictures: list[NewPicture] = []
    for upload in submission.uploads:
        if upload.data is None:
            raise InvalidContent(f"{upload.name}: fetching pictures by URL is not enabled, send the picture's bytes")
        pictures.append(NewPicture(upload.name, upload.data))
    return pictures


def _add(desk: Desk, submission: Submission) -> AddedReference:
    bench = desk.bench
    facts = facts_from_json(submission.facts if isinstance(submission.facts, dict) else {})
    enrolled = bench.enrolment.add_one(NewReference(facts, _new_pictures(submission)))
    return _added(bench.catalogue.get(enrolled.reference_id), enrolled.near_duplicates)


def _add_pictures(desk: Desk, reference_id: UUID, submission: Submission) -> AddedReference:
    bench = desk.bench
    warnings = bench.enrolment.add_pictures(reference_id, _new_pictures(submission), actor=None)
    return _added(bench.catalogue.get(reference_id), warnings)


def _added(reference: StoredReference, warnings: Any) -> AddedReference:
    members = {name: getattr(reference, name) for name in reference.__struct_fields__}
    return AddedReference(**members, near_duplicates=list(warnings))
