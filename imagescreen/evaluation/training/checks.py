"""What would end a run badly, found before it begins."""

from collections import Counter
from collections.abc import Sequence

import timm
import torch

from imagescreen.embedding.registry import is_model_name
from imagescreen.embedding.trunks import GOODS_COMPONENTS, middle_channels
from imagescreen.errors import WrongUse
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.training.names import class_names
from imagescreen.evaluation.training.recipe import Recipe, enough_products
from imagescreen.evaluation.training.student import MAX_BYTES, Student, stored_bytes
from imagescreen.evaluation.training.teachers import DIMENSION

LONGEST = 4.0
"""Of the parts of a vector beside what is learned, which counts for nothing beside longer ones."""
_SIDE_STEP = 16
"""JPEG with halved chroma works on squares of this side."""


def check_recipe(recipe: Recipe) -> None:
    """Builds the model once and runs it on a blank picture. Raises WrongUse for what cannot be trained or kept."""
    if not is_model_name(recipe.name):
        raise WrongUse(
            f"the name {recipe.name!r} is not one of a model: lower-case letters, digits, dots, hyphens and underscores"
        )
    if recipe.side % _SIDE_STEP:
        raise WrongUse(f"the side {recipe.side} is not a multiple of {_SIDE_STEP}, which JPEG in training works on")
    if recipe.dimension > DIMENSION:
        raise WrongUse(f"vectors of {recipe.dimension} components are longer than the teachers' own {DIMENSION}")
    if recipe.passes < 0 or not (recipe.passes or recipe.started_from):
        raise WrongUse(f"{recipe.passes} passes train nothing: give --start, the model to whiten")
    _check_shares(recipe)
    if not timm.is_model(recipe.trunk):
        raise WrongUse(f"timm has no architecture {recipe.trunk!r}")
    try:
        student = Student(recipe, ("thing",)).eval()
        with torch.no_grad():
            student(torch.ones(1, 3, recipe.side, recipe.side))
    except Exception as error:  # each architecture has its own way to say what it cannot do
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise WrongUse(
            f"the architecture {recipe.trunk!r} does not work as the picture side at {recipe.side} pixels: {told}"
        ) from None
    names = [name for name, _ in student.towers.visual.named_parameters()]
    for part in recipe.frozen if recipe.passes else ():
        if not any(name.startswith(part) for name in names):
            raise WrongUse(
                f"the architecture {recipe.trunk!r} has no part {part} to keep as it is: finishing is made for ResNets"
            )
    middle = middle_channels(recipe.trunk) if recipe.middle_share else 0
    if recipe.middle_share and not middle:
        raise WrongUse(f"the architecture {recipe.trunk!r} has no stage before the last to add: give --middle 0")
    if recipe.goods_share and not recipe.middle_share:
        raise WrongUse("what tells known goods apart is added beside the stage before the last: give --goods 0")
    if recipe.goods_share and recipe.dimension <= GOODS_COMPONENTS:
        raise WrongUse(
            f"vectors of {recipe.dimension} components have too few directions to tell known goods apart: "
            "give --goods 0 or a larger --dimension"
        )
    size = stored_bytes(student.towers, middle, GOODS_COMPONENTS if recipe.goods_share else 0)
    if size > MAX_BYTES:
        raise WrongUse(
            f"a model with the picture side {recipe.trunk!r} has {size:,} bytes; at most {MAX_BYTES:,} are wanted"
        )


def _check_shares(recipe: Recipe) -> None:
    if not 0 <= recipe.kept_share <= 1:
        raise WrongUse(f"the share {recipe.kept_share} that is kept of the start is not between 0 and 1")
    for length, whose in ((recipe.middle_share, "the stage before the last adds"), (recipe.goods_share, "goods add")):
        if not 0 <= length <= LONGEST:
            raise WrongUse(f"the length {length} of what {whose} is not between 0 and {LONGEST:g}")
    if not 0 <= recipe.whitening <= 1:
        raise WrongUse(f"the share {recipe.whitening} by which vectors are whitened is not between 0 and 1")
    if recipe.mixed_share + recipe.cut_out_share > 1 or (recipe.cut_out_share > 0) != (recipe.cut_outs > 0):
        raise WrongUse("the shares of mixtures and cut-outs do not fit together")
    if 0 < recipe.product_share < recipe.cut_out_share or recipe.mixed_share > 1 - recipe.product_share:
        raise WrongUse("the share of products does not fit to those of mixtures and cut-outs")


def check_rows(rows: Sequence[PhotoRow], recipe: Recipe) -> None:
    """Raises WrongUse for training rows that are too few, listed twice, or all without a name."""
    if recipe.passes and recipe.batch > len(rows):
        raise WrongUse(
            f"a batch of {recipe.batch} takes more than the {len(rows)} training pictures: give a smaller --batch"
        )
    # Centring takes one away.
    if recipe.dimension >= len(rows):
        raise WrongUse(
            f"{len(rows)} training pictures are too few for vectors of {recipe.dimension} components: "
            "give a smaller --dimension"
        )
    (tar, member), times = Counter((row.tar, row.member) for row in rows).most_common(1)[0]
    if times > 1:
        raise WrongUse(f"the photo set lists the training picture {member!r} of {tar!r} {times} times")
    if recipe.goods_share and not enough_products(rows):
        raise WrongUse(
            f"the training pictures show no more than {GOODS_COMPONENTS} products, too few to tell known goods apart: "
            "give --goods 0"
        )
    if not class_names([row.label for row in rows]):
        raise WrongUse("no training picture has a label that words could name")
