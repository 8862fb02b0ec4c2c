"""What a training run is made of; written into the model's card."""

from dataclasses import dataclass, field

from imagescreen.evaluation.training.edits import Edits
from imagescreen.settings import BUILT_IN_MODEL


@dataclass(frozen=True, slots=True)
class Recipe:
    """`passes` are over the training pictures, each seen in two edited views a pass. Weights are of the losses' sum."""

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
    mixed_share: float = 0.3
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.03
    average_decay: float = 0.999
    teacher_temperature: float = 0.1
    copies_temperature: float = 0.05
    words_temperature: float = 0.1
    cosine_weight: float = 2.0
    teacher_weight: float = 1.0
    copies_weight: float = 0.5
    words_weight: float = 1.0
    text_width: int = 64
    text_layers: int = 2
    context_length: int = 32
    seed: int = 0
    edits: Edits = field(default_factory=Edits)


def open_clip_config(recipe: Recipe) -> dict[str, dict[str, object]]:
    """The student as open_clip builds it: the contents of `open_clip_config.json`."""
    return {
        "model_cfg": {
            "embed_dim": recipe.dimension,
            "vision_cfg": {
                "timm_model_name": recipe.trunk,
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "linear",
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
