"""What a training run is made of; written into the model's card."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagescreen.embedding.trunks import GOODS, GOODS_COMPONENTS, TWO_LEVELS, middle_channels
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.training.edits import LIGHT, MILD, Edits
from imagescreen.evaluation.training.names import class_names
from imagescreen.evaluation.training.sources import source_of
from imagescreen.settings import BUILT_IN_MODEL

_GOODS_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pass is as many steps as it takes for batches to be as many pictures as there are to train on, each seen in two
    edited views; with no `passes` the model that the run is started from is whitened and nothing is learned. Weights
    are of the losses' sum.
    """

    name: str = BUILT_IN_MODEL
    trunk: str = "resnet18d"
    side: int = 160
    dimension: int = 256
    passes: int = 640
    batch: int = 768
    views: int = 20
    """Clean crops of each picture of which the teachers' vectors are taken; the first is the whole picture."""
    mixtures: int = 20
    """As many mixtures of each picture with another one."""
    cut_outs: int = 0
    """As many cut-outs of each picture of a product, on white; of all, where no label is a product."""
    mixed_share: float = 0.3
    cut_out_share: float = 0.0
    """Of a batch; what is neither a mixture nor a cut-out is a crop, half of them the whole picture."""
    fitted_to_labels: bool = False
    """Whether the reduction of the teachers' vectors is fitted to the class names, or their principal components."""
    whitening: float = 0.4
    """How far the student's vectors are taken in the end towards equal variance in all directions; 1 is all the way."""
    middle_share: float = 0.0
    """How long the part of a vector is that the stage before the last gives, where the last one's is 1; 0 leaves it
    out, and `dimension` is of the last one's part alone."""
    goods_share: float = 0.0
    """How long the part of a vector is at most that tells known goods apart; 0 leaves it out. It comes after that of
    the stage before the last, and only beside it."""
    product_share: float = 0.0
    """Of a batch; pictures whose labels are products, those of rare ones oftener: first its cut-outs, and what is left
    as crops. The rest is drawn from all."""
    started_from: str = ""
    """Name and sha256 of the weights that the student has at first; random ones where it is empty."""
    kept_share: float = 0.0
    """Of the weights that it is started from, in those that are written: the mean of both is better on what it was not
    finished for (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022)."""
    frozen: tuple[str, ...] = ()
    """Parts of the picture side that stay as they are, by the beginnings of their names."""
    frozen_norms: bool = False
    """Whether batch norms keep the statistics that they have."""
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.03
    average_decay: float = 0.999
    teacher_temperature: float = 0.1
    copies_temperature: float = 0.05
    words_temperature: float = 0.1
    products_temperature: float = 0.1
    cosine_weight: float = 2.0
    teacher_weight: float = 1.0
    copies_weight: float = 0.5
    words_weight: float = 1.0
    products_weight: float = 0.0
    goods_weight: float = 0.0
    text_width: int = 64
    text_layers: int = 2
    context_length: int = 32
    seed: int = 0
    edits: Edits = field(default_factory=Edits)
    still_edits: Edits = field(default_factory=Edits)
    """Of mixtures and cut-outs: only those that leave everything in its place."""


def changed(recipe: Recipe, **wishes: Any) -> Recipe:
    """The `recipe` with its values as wished, but for wishes that are None."""
    return replace(recipe, **{name: wish for name, wish in wishes.items() if wish is not None})


def enough_products(rows: Sequence[PhotoRow]) -> bool:
    """Whether the training pictures show more products than there are directions to tell them apart by."""
    return len(class_names([row.label for row in rows if source_of(row.tar).products])) > GOODS_COMPONENTS


def tells_goods_apart(recipe: Recipe, rows: Sequence[PhotoRow]) -> bool:
    """Whether the directions in which products differ can be had: not all that a vector has, and of products enough."""
    return recipe.dimension > GOODS_COMPONENTS and enough_products(rows)


def usual_goods_share(recipe: Recipe, rows: Sequence[PhotoRow]) -> float:
    """0 where goods cannot be told apart, and without the part beside which this one comes."""
    return _GOODS_SHARE if recipe.middle_share and tells_goods_apart(recipe, rows) else 0.0


def usual_middle_share(trunk: str) -> float:
    """1 for the architectures that can give what the stage before the last sees, 0 for all others."""
    return float(middle_channels(trunk) > 0)


def finishing(recipe: Recipe, started_from: str) -> Recipe:
    """A shorter recipe for a student that has learned already: milder edits, and what lies in a catalogue.

    Chosen for two cores; see the card of the built-in model.
    """
    return replace(
        _with_catalogues(recipe, started_from),
        passes=4,
        batch=256,
        views=2,
        mixtures=1,
        cut_outs=15,
        mixed_share=0.15,
        cut_out_share=0.4,
        product_share=0.5,
        whitening=0.2,
        frozen=("trunk.conv1", "trunk.bn1", "trunk.layer1", "trunk.layer2", "trunk.layer3"),
        frozen_norms=True,
        learning_rate=5e-4,
        average_decay=0.98,
    )


def going_on(recipe: Recipe, started_from: str) -> Recipe:
    """A long recipe for a student that has learned already, all of which goes on learning: many views of each picture,
    mildly edited, and what lies in a catalogue. For a GPU.
    """
    return replace(
        _with_catalogues(recipe, started_from),
        passes=900,
        batch=1024,
        views=20,
        mixtures=60,
        cut_outs=32,
        mixed_share=0.35,
        cut_out_share=0.25,
        product_share=0.4,
        learning_rate=1e-3,
    )


def _with_catalogues(recipe: Recipe, started_from: str) -> Recipe:
    """What both have in common: labels and products count, and edits are milder."""
    return replace(
        recipe,
        fitted_to_labels=True,
        products_weight=0.5,
        goods_weight=0.5,
        started_from=started_from,
        edits=MILD,
        still_edits=LIGHT,
    )


def open_clip_config(recipe: Recipe, *, middle: int = 0, goods: int = 0) -> dict[str, dict[str, object]]:
    """The student as open_clip builds it: the contents of `open_clip_config.json`. With `middle` components from the
    stage before the last, and `goods` that tell known goods apart, it is what is written in the end.
    """
    parts = (TWO_LEVELS if middle else "") + (GOODS if goods else "")
    return {
        "model_cfg": {
            "embed_dim": recipe.dimension + middle + goods,
            "vision_cfg": {
                "timm_model_name": recipe.trunk + parts,
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "" if middle else "linear",
                "image_size": recipe.side,
            },
            "text_cfg": {
                "context_length": recipe.context_length,
                "vocab_size": 49408,
                "width": recipe.text_width,
                "heads": max(1, recipe.text_width // 64),
                "layers": recipe.text_layers,
            },
        },
        "preprocess_cfg": {
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
            "interpolation": "bicubic",
            "resize_mode": "longest",
            "fill_color": 255,
        },
    }
