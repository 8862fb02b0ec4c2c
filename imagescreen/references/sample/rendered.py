"""Product-like pictures drawn by code: what the sample catalogue and the tests show instead of photographs."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image

from imagescreen.references.sample import display, household, studio, worn
from imagescreen.references.sample.edits import jpeg_bytes
from imagescreen.references.sample.look import Look
from imagescreen.references.sample.marks import emblem, wordmark
from imagescreen.references.sample.sketch import Dice, Sketch, light
from imagescreen.references.sample.surfaces import Pattern, surface, three_colours

__all__ = ["GOODS", "ProductKind", "RenderedProduct", "jpeg_bytes", "render_product"]


class ProductKind(StrEnum):
    HANDBAG = "handbag"
    BACKPACK = "backpack"
    SNEAKER = "sneaker"
    BOOT = "boot"
    WATCH = "watch"
    SUNGLASSES = "sunglasses"
    CAP = "cap"
    T_SHIRT = "T-shirt"
    BELT = "belt"
    WALLET = "wallet"
    SCARF = "scarf"
    NECKLACE = "necklace"
    PERFUME = "perfume bottle"
    PILL_BLISTER = "pill blister"
    PILL_BOTTLE = "pill bottle"
    CREAM_JAR = "cream jar"
    PLUSH_TOY = "plush toy"
    TOY_CAR = "toy car"
    HEADPHONES = "headphones"
    PHONE_CASE = "phone case"
    MUG = "mug"
    POWER_BANK = "power bank"
    CABLE = "charging cable"
    CONTROLLER = "game controller"
    SIZE_CHART = "size chart"
    PLACEHOLDER = "no image available"


NOT_GOODS = (ProductKind.SIZE_CHART, ProductKind.PLACEHOLDER)
GOODS = tuple(kind for kind in ProductKind if kind not in NOT_GOODS)

_DRAWINGS: dict[ProductKind, Callable[[Sketch, Look], None]] = {
    ProductKind.HANDBAG: worn.handbag,
    ProductKind.BACKPACK: worn.backpack,
    ProductKind.SNEAKER: worn.sneaker,
    ProductKind.BOOT: worn.boot,
    ProductKind.WATCH: worn.watch,
    ProductKind.SUNGLASSES: worn.sunglasses,
    ProductKind.CAP: worn.cap,
    ProductKind.T_SHIRT: worn.t_shirt,
    ProductKind.BELT: worn.belt,
    ProductKind.WALLET: worn.wallet,
    ProductKind.SCARF: worn.scarf,
    ProductKind.NECKLACE: worn.necklace,
    ProductKind.PERFUME: household.perfume,
    ProductKind.PILL_BLISTER: household.pill_blister,
    ProductKind.PILL_BOTTLE: household.pill_bottle,
    ProductKind.CREAM_JAR: household.cream_jar,
    ProductKind.PLUSH_TOY: household.plush_toy,
    ProductKind.TOY_CAR: household.toy_car,
    ProductKind.HEADPHONES: household.headphones,
    ProductKind.PHONE_CASE: household.phone_case,
    ProductKind.MUG: household.mug,
    ProductKind.POWER_BANK: household.power_bank,
    ProductKind.CABLE: household.cable,
    ProductKind.CONTROLLER: household.controller,
    ProductKind.SIZE_CHART: household.size_chart,
    ProductKind.PLACEHOLDER: household.placeholder,
}


@dataclass(frozen=True, slots=True)
class RenderedProduct:
    """`image` is RGB; `title` names colour, pattern and kind, e.g. "Red quilted handbag"."""

    seed: int
    kind: ProductKind
    title: str
    image: Image.Image


def render_product(
    seed: int, *, kind: ProductKind | None = None, size: tuple[int, int] = (480, 600), view: int = 0
) -> RenderedProduct:
    """The product of `seed`, photographed for the `view`th time.

    The same arguments give the same pixels. `seed` and `kind` decide the product; without a `kind` the seed decides
    that as well, among GOODS. `view` changes background, light, placement and a slight turn, never the product.
    `size` is (width, height) in pixels.
    """
    chosen = kind or GOODS[Dice(seed, 0).whole(0, len(GOODS) - 1)]
    dice = Dice(seed, 1, list(ProductKind).index(chosen))
    name, (main, second, accent) = three_colours(dice)
    pattern = dice.pick(list(Pattern))
    # Larger than in the picture, so that averaging pixels smooths the edges.
    side = round(min(size) * 1.3)
    colours = (main, second, accent)
    # Dice of their own for surfaces: some draw once a pixel, and the size must not change the product.
    look = Look(dice, *colours, surface(pattern, colours, Dice(seed, 2), side), emblem(dice), wordmark(dice))
    sketch = Sketch(side, main)
    offer = Dice(seed, 4)
    if chosen in GOODS:
        display.set_up(sketch, look, _packing(offer, Dice(seed, 5), side), offer)
    _DRAWINGS[chosen](sketch, look)
    if chosen in NOT_GOODS:
        image = sketch.layer.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        return RenderedProduct(seed, chosen, chosen.value.capitalize(), image)
    words = (name, "" if pattern is Pattern.PLAIN else pattern.value, chosen.value)
    title = " ".join(word for word in words if word)
    image = studio.listing(display.arrange(sketch, offer), size, studio.pose(offer), Dice(seed, 3, view))
    return RenderedProduct(seed, chosen, title[0].upper() + title[1:], image)


def _packing(offer: Dice, dice: Dice, side: int) -> Image.Image:
    """The surface of a carton or a board: pale, so that the product stands out."""
    one, two, three = (light(colour, 0.35) for colour in three_colours(offer)[1])
    return surface(offer.pick(list(Pattern)), (one, two, three), dice, side)
