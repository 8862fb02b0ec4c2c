"""What a client of the service does, what an acknowledgement of it promises, and what is allowed without one."""

import base64
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tests.torture.world import Picture, Reference, Screening, World, demand, now


class Deed(ABC):
    """One request. `settle` is for one that was never answered: all of it must be there, or nothing."""

    @abstractmethod
    def send(self, api: httpx.Client) -> httpx.Response: ...

    @abstractmethod
    def acknowledged(self, world: World, answer: httpx.Response) -> None: ...

    @abstractmethod
    def settle(self, world: World, api: httpx.Client) -> bool:
        """Whether it had happened. Raises Violation for half of it."""


@dataclass(frozen=True, slots=True)
class AddReference(Deed):
    title: str
    pictures: tuple[Picture, ...]

    def send(self, api: httpx.Client) -> httpx.Response:
        facts = {"title": self.title, "category": "counterfeit"}
        return api.post("/v1/references", json={"reference": facts, "pictures": sent(*self.pictures)})

    def acknowledged(self, world: World, answer: httpx.Response) -> None:
        demand(answer.status_code == 201, f"adding {self.title!r}: {told(answer)}")
        world.add(answer.json(), {picture.sha256: picture for picture in self.pictures})

    def settle(self, world: World, api: httpx.Client) -> bool:
        found = [item for item in all_references(api) if item["title"] == self.title]
        demand(len(found) <= 1, f"reference {self.title!r} is there {len(found)} times")
        for item in found:
            world.add(item, {picture.sha256: picture for picture in self.pictures})
        return bool(found)


@dataclass(frozen=True, slots=True)
class ChangeState(Deed):
    reference: Reference
    state: str
    suspended_until: datetime | None = None

    def send(self, api: httpx.Client) -> httpx.Response:
        patch = {"state": self.state}
        if self.suspended_until is not None:
            patch["suspended_until"] = self.suspended_until.isoformat()
        return api.patch(f"/v1/references/{self.reference.reference_id}", json=patch)

    def acknowledged(self, world: World, answer: httpx.Response) -> None:
        if answer.status_code == 422 and self.suspended_until is not None and self.suspended_until <= now():
            # It waited for a killed worker's successor until it was too late. Refused, so nothing may have changed.
            return
        demand(answer.status_code == 200, f"changing {self.reference.title!r} to {self.state}: {told(answer)}")
        self._took_effect(world)

    def settle(self, world: World, api: httpx.Client) -> bool:
        found = reference_of(api, self.reference)
        if (found["state"], moment_of(found["suspended_until"])) == (self.state, self.suspended_until):
            self._took_effect(world)
            return True
        return False

    def _took_effect(self, world: World) -> None:
        self.reference.state, self.reference.suspended_until = self.state, self.suspended_until
        world.touched.add(self.reference.reference_id)


@dataclass(frozen=True, slots=True)
class AddPicture(Deed):
    reference: Reference
    picture: Picture

    def send(self, api: httpx.Client) -> httpx.Response:
        return api.post(f"/v1/references/{self.reference.reference_id}/pictures", json={"pictures": sent(self.picture)})

    def acknowledged(self, world: World, answer: httpx.Response) -> None:
        demand(answer.status_code == 201, f"adding a picture to {self.reference.title!r}: {told(answer)}")
        demand(self._took_effect(world, answer.json()), f"the picture added to {self.reference.title!r} is not told")

    def settle(self, world: World, api: httpx.Client) -> bool:
        return self._took_effect(world, reference_of(api, self.reference))

    def _took_effect(self, world: World, answer: dict[str, Any]) -> bool:
        for item in answer["pictures"]:
            if item["sha256"] == self.picture.sha256:
                self.reference.pictures[item["reference_picture_id"]] = self.picture
                world.touched.add(self.reference.reference_id)
                return True
        return False


@dataclass(frozen=True, slots=True)
class RemovePicture(Deed):
    reference: Reference
    picture_id: int

    def send(self, api: httpx.Client) -> httpx.Response:
        return api.delete(f"/v1/references/{self.reference.reference_id}/pictures/{self.picture_id}")

    def acknowledged(self, world: World, answer: httpx.Response) -> None:
        demand(answer.status_code == 204, f"removing picture {self.picture_id}: {told(answer)}")
        self._took_effect(world)

    def settle(self, world: World, api: httpx.Client) -> bool:
        present = {item["reference_picture_id"] for item in reference_of(api, self.reference)["pictures"]}
        if self.picture_id in present:
            return False
        self._took_effect(world)
        return True

    def _took_effect(self, world: World) -> None:
        self.reference.removed[self.picture_id] = self.reference.pictures.pop(self.picture_id)
        world.touched.add(self.reference.reference_id)


@dataclass(frozen=True, slots=True)
class ScreenPackage(Deed):
    """Also a package that was screened before: the answer must be the one that was given then."""

    body: dict[str, Any]
    owner: int
    earlier: dict[str, Any] | None = None

    def send(self, api: httpx.Client) -> httpx.Response:
        return api.post("/v1/screenings", json=self.body)

    def acknowledged(self, world: World, answer: httpx.Response) -> None:
        wanted = 201 if self.earlier is None else 200
        demand(answer.status_code == wanted, f"screening {self._package_id}: {told(answer)}")
        demand(self.earlier in (None, answer.json()), f"the answer to {self._package_id} is another one than before")
        self._took_effect(world, answer)

    def settle(self, world: World, api: httpx.Client) -> bool:
        """Sent again, as a client does that got no answer: stored whole already, or screened now."""
        answer = self.send(api)
        demand(answer.status_code in (200, 201), f"screening {self._package_id} again: {told(answer)}")
        self._took_effect(world, answer)
        return answer.status_code == 200

    @property
    def _package_id(self) -> str:
        return str(self.body["package"]["package_id"])

    def _took_effect(self, world: World, answer: httpx.Response) -> None:
        given = answer.json()
        if given["screening_id"] not in world.screenings:
            world.screenings[given["screening_id"]] = Screening(self.body, given, self.owner)
        world.touched.add(given["screening_id"])


@dataclass(frozen=True, slots=True)
class Review(Deed):
    screening: Screening
    reason: str

    def send(self, api: httpx.Client) -> httpx.Response:
        review = {"decision": "confirmed", "reason": self.reason, "reviewer": "torture"}
        return api.post(f"/v1/screenings/{self.screening.answer['screening_id']}/reviews", json=review)

    def acknowledged(self, world: World, answer: httpx.Response) -> None:
        demand(answer.status_code == 201, f"reviewing: {told(answer)}")
        self._took_effect(world, answer.json())

    def settle(self, world: World, api: httpx.Client) -> bool:
        screening_id = self.screening.answer["screening_id"]
        found = [r for r in api.get(f"/v1/screenings/{screening_id}").json()["reviews"] if r["reason"] == self.reason]
        demand(len(found) <= 1, f"review {self.reason!r} is there {len(found)} times")
        for review in found:
            self._took_effect(world, review)
        return bool(found)

    def _took_effect(self, world: World, review: dict[str, Any]) -> None:
        self.screening.reviews.append(review)
        world.touched.add(self.screening.answer["screening_id"])


def sent(*pictures: Picture) -> list[dict[str, str]]:
    return [{"data": base64.b64encode(picture.data).decode()} for picture in pictures]


def told(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text[:300]}"


def moment_of(cell: str | None) -> datetime | None:
    return None if cell is None else datetime.fromisoformat(cell)


def reference_of(api: httpx.Client, reference: Reference) -> dict[str, Any]:
    answer = api.get(f"/v1/references/{reference.reference_id}")
    demand(answer.status_code == 200, f"acknowledged reference {reference.title!r} is lost: {told(answer)}")
    found: dict[str, Any] = answer.json()
    return found


def all_references(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        asked = {"limit": "200"} | ({} if after is None else {"after": after})
        answer = api.get("/v1/references", params=asked)
        demand(answer.status_code == 200, f"listing references: {told(answer)}")
        page = answer.json()
        found += page["items"]
        after = page["next"]
        if after is None:
            return found
