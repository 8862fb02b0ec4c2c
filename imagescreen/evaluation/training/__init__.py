"""Training of the built-in model by distillation; needs the extra `train`."""

from imagescreen.embedding.libraries import import_open_clip

# Before any module here imports timm or torchvision, which are not always found whole otherwise.
import_open_clip()
