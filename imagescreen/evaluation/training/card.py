"""The model's card: what it was made of and how, what it was measured to do, and what it cannot."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagescreen.embedding.trunks import GOODS_COMPONENTS
from imagescreen.evaluation.photos import PhotoRow
from imagescreen.evaluation.training.distil import Trained
from imagescreen.evaluation.training.edits import Edits
from imagescreen.evaluation.training.measure import Measured
from imagescreen.evaluation.training.names import PHRASES, class_names
from imagescreen.evaluation.training.recipe import Recipe, tells_goods_apart
from imagescreen.evaluation.training.sources import source_of

CARD_FILE = "README.md"

_TEACHERS = (
    ("timm `vit_tiny_patch16_224`", "Apache-2.0"),
    ("torchvision `densenet169`", "BSD-3-Clause"),
)
_MOVING = (
    "crop",
    "perspective",
    "made smaller within its square",
    "other backdrop, plain or a blurred picture",
    "cut out",
)
_CANNOT = (
    "It is no substitute for a real CLIP checkpoint: for work, fetch one of the larger models of the registry.",
    "It knows the kinds of goods that it was trained on, best in pictures like those; of others it has seen none.",
    "It knows no brands, logos or writing, and was not taught to tell a genuine item from a counterfeit.",
    "Its words are the class names of its training pictures; of other words it knows nothing.",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a card is about. `rows` are those trained on; `licences` by tar name go before what is known of a set."""

    recipe: Recipe
    trained: Trained
    rows: Sequence[PhotoRow]
    weights_bytes: int
    licences: Mapping[str, str]


def card(subject: Subject, measured: Mapping[str, Measured]) -> str:
    """Markdown; `measured` by whose figures they are, the model's own and perhaps the teachers', or empty."""
    recipe = subject.recipe
    parts = (
        f"# {recipe.name}",
        "A small CLIP-like model, distilled from two ImageNet encoders. open_clip loads it from this folder"
        + (", once `imagescreen.embedding.trunks` is imported." if recipe.middle_share else "."),
        _table(("", ""), _model(subject)),
        "## Data and licences",
        _table(
            ("pictures", "trained on" if subject.trained.done.steps else "whitened by", "licence"), _pictures(subject)
        ),
        _table(("teacher", "licence"), [*_TEACHERS]),
        "Neither the pictures nor the teachers' weights are part of the model.",
        "## Recipe",
        _table(("", ""), _recipe(subject)),
        *(
            (
                "Edits of a view, at random up to:",
                _table(("edit", "of pictures and crops", "of mixtures and cut-outs"), _both_edits(recipe)),
            )
            if subject.trained.done.steps
            else ()
        ),
        "## What it can do",
        _scores(measured) if measured else "It was not measured.",
        "## What it cannot do",
        "\n".join(f"- {sentence}" for sentence in _CANNOT),
        "## Files",
        "`open_clip_config.json`, `open_clip_model.safetensors`, and `manifest.json` with their sha256, the "
        "fingerprint of the\nembedding space with its ingredients, and the vector of the built-in test picture by "
        "which the loaded\nmodel is checked.",
    )
    return "\n\n".join(parts) + "\n"


def _model(subject: Subject) -> Iterator[tuple[str, str]]:
    r = subject.recipe
    yield (
        "picture side",
        f"timm `{r.trunk}`, average pooling, linear projection to {r.dimension}; input {r.side} x {r.side}, "
        "longest side fitted and padded white",
    )
    if r.middle_share:
        yield (
            "second part of a vector",
            "generalized mean of the stage before the last, whitened; of unit length as the first part is, then times "
            f"{r.middle_share:g}",
        )
    if r.goods_share:
        yield (
            "third part of a vector",
            f"of the first, the {GOODS_COMPONENTS} directions in which known products differ; of the length "
            f"{r.goods_share:g} where the first lies in them with much of its own, of none where with little",
        )
    yield (
        "text side",
        f"transformer of {r.text_layers} layers, width {r.text_width}; CLIP's byte-pair vocabulary, context of "
        f"{r.context_length} tokens",
    )
    yield "weights", f"float16 safetensors, {subject.weights_bytes / 1e6:.1f} MB"


def _pictures(subject: Subject) -> Iterator[tuple[str, str, str]]:
    for tar, count in sorted(Counter(row.tar for row in subject.rows).items()):
        source = source_of(tar)
        yield source.title, f"{count:,}", subject.licences.get(tar, source.licence)


def _recipe(subject: Subject) -> Iterator[tuple[str, str]]:
    r, done = subject.recipe, subject.trained.done
    names = class_names(row.label for row in subject.rows)
    if not done.steps:
        yield "made", f"{done.date} on {done.device}; nothing was trained"
        yield "started from", r.started_from
        yield "whitened", f"{r.whitening:.0%} of the way, by its vectors of {len(subject.rows):,} training pictures"
        return
    yield "trained", f"{done.date}, {_duration(subject.trained.seconds)} on {done.device}, seed {r.seed}"
    yield (
        "pictures",
        f"{len(subject.rows):,} to train on; {len(names)} class names in {len(PHRASES)} phrasings each",
    )
    yield "length", f"{r.passes} passes, {done.steps:,} steps of {r.batch} pictures in two edited views each"
    if r.started_from:
        kept = f"; {r.kept_share:.0%} of the weights are its own still" if r.kept_share else ""
        yield "started from", r.started_from + kept
    products = any(source_of(row.tar).products for row in subject.rows)
    yield "teachers see", _teachers_see(r, products=products)
    if r.whitening:
        yield "whitened in the end", f"{r.whitening:.0%} of the way"
    if r.product_share and products:
        yield "products", f"{r.product_share:.0%} of a batch, rare ones oftener, first as cut-outs, the rest as crops"
    if r.frozen:
        norms = ", and of all batch norms the statistics" if r.frozen_norms else ""
        yield "kept as they were", f"{', '.join(r.frozen)} of the picture side{norms}"
    across = (
        f"; contrastive between photographs and cut-outs of products ({r.products_weight:g}, temperature "
        f"{r.products_temperature:g})"
        if r.products_weight
        else ""
    )
    if r.goods_weight and tells_goods_apart(r, subject.rows):
        across += (
            f"; for products, the first two again in the {GOODS_COMPONENTS} directions in which they differ "
            f"({r.goods_weight:g})"
        )
    yield (
        "losses",
        f"cosine to the teachers' vector (weight {r.cosine_weight:g}); similarities to the batch's teachers' vectors "
        f"({r.teacher_weight:g}, temperature {r.teacher_temperature:g}); contrastive between the two views "
        f"({r.copies_weight:g}, temperature {r.copies_temperature:g}); naming by words ({r.words_weight:g}, "
        f"temperature {r.words_temperature:g}){across}",
    )
    yield (
        "optimiser",
        f"AdamW, learning rate {r.learning_rate:g}, weight decay {r.weight_decay:g}; linear warm-up over "
        f"{r.warmup_share:.0%} of the steps, then half a cosine; weights averaged with decay {r.average_decay:g}",
    )


def _teachers_see(r: Recipe, *, products: bool) -> str:
    on_white = ""
    if r.cut_outs:
        where = " where it is of a product" if products else ""
        on_white = (
            f", {_times(r.cut_outs, 'cut-out')} of it on white{where}, most of them ovals along an edge, some in "
            f"a group ({r.cut_out_share:.0%} of a batch)"
        )
    mapped = (
        f"under a linear map to {r.dimension} that is fitted to the class names"
        if r.fitted_to_labels
        else f"reduced to {r.dimension} by PCA"
    )
    return (
        f"each picture whole and {_times(r.views - 1, 'crop')} of it{on_white}, and {_times(r.mixtures, 'mixture')} of "
        f"it with another one ({r.mixed_share:.0%} of a batch); their unit vectors side by side, {mapped}"
    )


def _times(count: int, thing: str) -> str:
    return f"{count or 'no'} {thing}{'' if count == 1 else 's'}"


def _both_edits(r: Recipe) -> Iterator[tuple[str, str, str]]:
    """Those that move nothing are what mixtures and cut-outs get, beside being mirrored."""
    still = dict(_edits(r.still_edits))
    for name, ends in _edits(r.edits):
        yield name, ends, "mirrored for half" if name == "rotation" else "" if name in _MOVING else still.get(name, "")


def _edits(e: Edits) -> Iterator[tuple[str, str]]:
    yield "crop", f"{e.crop:.0%} off each side"
    strong = f", {e.strong_turn_degrees:g} for {e.strong_turn_share:.0%}" if e.strong_turn_share else ""
    yield "rotation", f"{e.turn_degrees:g} degrees{strong}; mirrored for half"
    yield "perspective", f"{e.perspective:g} for {e.perspective_share:.0%}"
    yield "made smaller within its square", f"to {e.smaller:g} for {e.smaller_share:.0%}"
    yield "other backdrop, plain or a blurred picture", f"for {e.backdrop_share:.0%}"
    if e.cut_out_share:
        yield "cut out", f"for {e.cut_out_share:.0%}"
    yield "brightness", _range(e.brightness)
    yield "contrast", _range(e.contrast)
    yield "saturation", _range(e.saturation)
    yield "tint of each channel", f"{e.tint:.0%}"
    if e.sharpening_share:
        yield "sharpening", f"{e.sharpening:g} for {e.sharpening_share:.0%}"
    yield "texts and stickers", f"for {e.overlay_share:.0%}"
    yield "size", ", ".join(f"{size:g}" for size in e.sizes)
    yield "noise", f"standard deviation {e.noise:g} for {e.noise_share:.0%}"
    yield "JPEG quality", _range(e.jpeg_quality)
    yield "blur", f"for {e.blur_share:.0%}"
    yield "none at all", f"for {e.untouched_share:.0%}"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


def _scores(measured: Mapping[str, Measured]) -> str:
    one = next(iter(measured.values()))
    each = list(measured.values())
    rows = [
        (
            f"{one.copies:,} edited copies (crop, rotation, flip, colour, JPEG) among {one.garments:,} garments, R@1",
            *(f"{m.edited_copies_r1:.3f}" for m in each),
        ),
        (
            f"{one.grocery_photos:,} photographs of groceries against their catalogue pictures, R@1 / R@5",
            *(f"{m.grocery_r1:.3f} / {m.grocery_r5:.3f}" for m in each),
        ),
        (
            f"{one.objects:,} pictures of classes that nothing was trained on: nearest is of the same class",
            *(f"{m.objects_r1:.3f}" for m in each),
        ),
        (
            f"naming {one.words_pictures:,} pictures by words, {one.names} class names",
            *("" if m.words_r1 is None else f"{m.words_r1:.3f}" for m in each),
        ),
    ]
    told = ["Measured on pictures of use `test`, which are not trained on:", _table(("task", *measured), rows)]
    if one.rejected:
        told.append(f"{one.rejected:,} further pictures could not be read.")
    return "\n\n".join(told)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds / 60:.1f} minutes"


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """On one line, and without what would end the cell or begin a tag."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
