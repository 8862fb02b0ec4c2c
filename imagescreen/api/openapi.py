"""The OpenAPI document: what Litestar derives, completed by both request bodies, examples and the one error shape."""

from typing import Any, cast

import msgspec
from litestar import Controller, Request, Response, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.controller import OpenAPIController

from imagescreen.api.bodies import PictureData
from imagescreen.errors import PROBLEM_MEDIA_TYPE, Problem
from imagescreen.references.facts import ReferenceFacts
from imagescreen.screening.package import Package
from imagescreen.screening.record import NewReview

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"

PACKAGE_EXAMPLE: Json = {
    "package_id": "PKG-1",
    "participant": "carrier-7",
    "entry_type": "11",
    "shipment_refs": {"house_bill": "HB-77"},
    "seller": {"name": "Example Store", "marketplace": "example-market"},
    "items": [{"description": "canvas tote", "listed_price": 19.5, "currency": "USD", "pictures": [0]}],
}
REFERENCE_EXAMPLE: Json = {
    "title": "Acme tote",
    "category": "counterfeit",
    "brand": "Acme",
    "rights": [{"kind": "trademark", "recordation_number": "TMK 11-00163"}],
    "authority": "19 CFR 133.21",
    "suggested_action": "hold",
}
# A bag of 32 x 32 pixels in two colours: about the smallest picture that is screened.
PICTURE_EXAMPLE = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAAXklEQVR42lXOuw3CQBgE4e+2AKCE6wR3BoURUIoDCoDMSOCf4MQr"
    "GW0wGm0rxBfPLh5XsSzidhLp4rJ5K/ed6BHzKs5FcbCyH8rK/Bv9IPSxGpM6qpja6KllW+3/0AukBBmZTl1bswAAAABJRU5ErkJg"
    "gg=="
)


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="imagescreen",
        version="1",
        description=(
            "Screens product pictures of shipments against known counterfeit and prohibited items. A flag is no legal "
            "finding: it says what a picture resembles, and a person decides."
        ),
        use_handler_docstrings=True,
        # Litestar's own schema pages load scripts from elsewhere and answer unknown paths in HTML.
        openapi_controller=cast(type[OpenAPIController], SchemaController),
    )


class SchemaController(Controller):
    path = "/schema"
    include_in_schema = False

    @get("/openapi.json")
    async def openapi_json(self, request: Request[Any, Any, Any]) -> Response[Json]:
        return Response(complete(request.app.openapi_schema.to_schema()))


def complete(document: Json) -> Json:
    """Adds what handlers that read their body themselves cannot tell Litestar."""
    types = (Package, ReferenceFacts, PictureData, NewReview, Problem)
    (package, reference, picture, review, _), components = msgspec.json.schema_components(types, ref_template=_REF)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(components)
    paths = document["paths"]
    for path in paths.values():
        for operation in path.values():
            _describe_errors(operation)
    pictures: Json = {"type": "array", "items": picture, "default": []}
    example = [{"data": PICTURE_EXAMPLE}]
    _post(paths, "/v1/screenings", _submission("package", package, pictures, PACKAGE_EXAMPLE, example))
    _post(paths, "/v1/references", _submission("reference", reference, pictures, REFERENCE_EXAMPLE, example))
    _post(paths, "/v1/matches", _submission(None, {}, pictures, {}, example))
    _post(paths, "/v1/references/{reference_id}/pictures", _submission(None, {}, pictures, {}, example))
    _post(paths, "/v1/screenings/{screening_id}/reviews", _json_body(review, {"decision": "confirmed"}))
    change = {"type": "object", "properties": components["ReferenceFacts"]["properties"], "additionalProperties": False}
    paths["/v1/references/{reference_id}"]["patch"]["requestBody"] = _json_body(change, {"state": "suspended"})
    stored = paths["/v1/screenings"]["post"]["responses"]
    stored["200"] = {**stored["201"], "description": "Screened before with the same content: the stored result"}
    content = paths["/v1/references/{reference_id}/pictures/{picture_id}/content"]["get"]["responses"]["200"]
    content["content"] = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
    ready = paths["/health/ready"]["get"]["responses"]
    ready["503"] = {**ready["200"], "description": "It cannot screen; `problems` says why"}
    return document


def _post(paths: Json, path: str, body: Json) -> None:
    paths[path]["post"]["requestBody"] = body


def _describe_errors(operation: Json) -> None:
    problem = {"content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}}
    responses = operation["responses"]
    for status in [status for status in responses if status.startswith(("4", "5"))]:
        del responses[status]
    responses["4XX"] = {"description": "The request was wrong; `detail` says what is allowed", **problem}
    responses["503"] = {"description": "Not available at the moment; see Retry-After", **problem}


def _json_body(schema: Json, example: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _submission(member: str | None, facts: Json, pictures: Json, example: Json, picture_example: list[Json]) -> Json:
    """Both ways to send a JSON member and pictures."""
    files: Json = {"type": "array", "items": {"type": "string", "format": "binary"}}
    as_json: Json = {"pictures": pictures}
    as_parts: Json = {"pictures": files}
    told: Json = {"pictures": picture_example}
    encoding: Json = {"pictures": {"contentType": "application/octet-stream"}}
    required: list[str] = ["pictures"]
    if member is not None:
        as_json = {member: facts, **as_json}
        as_parts = {member: {**facts, "examples": [example]}, **as_parts}
        told = {member: example, **told}
        encoding = {member: {"contentType": "application/json"}, **encoding}
        required = [member]
    json_schema = {"type": "object", "properties": as_json, "required": required, "additionalProperties": False}
    parts_schema = {"type": "object", "properties": as_parts, "required": required, "additionalProperties": False}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": parts_schema, "encoding": encoding},
            "application/json": {"schema": json_schema, "example": told},
        },
    }
