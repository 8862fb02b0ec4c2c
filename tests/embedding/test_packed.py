from typing import Any

import pytest
import torch
from torch import Tensor, nn

from imagescreen.embedding.libraries import import_open_clip
from imagescreen.embedding.packed import PackedBlock, PackedPatches, pack_blocks

SIDE, WIDTH, LAYERS = 64, 128, 3

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor cannot multiply bfloat16"
)


def tower(**options: Any) -> nn.Module:
    """A small vision transformer of open_clip with weights as after training: no bias is 0, no norm is the identity."""
    transformer = import_open_clip().transformer
    torch.manual_seed(0)
    options = {"act_layer": nn.GELU, "ls_init_value": None} | options
    made: nn.Module = transformer.VisionTransformer(
        image_size=SIDE, patch_size=16, width=WIDTH, layers=LAYERS, heads=2, mlp_ratio=4.0, output_dim=32, **options
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return made.eval().requires_grad_(False)


def encoded(visual: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = visual(images).float()
    return nn.functional.normalize(found)


@needs_bfloat16
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("quick", [False, True])
def test_packed_blocks_compute_the_same(quick: bool, n: int) -> None:
    visual = tower(act_layer=import_open_clip().transformer.QuickGELU if quick else nn.GELU)
    images = torch.randn(n, 3, SIDE, SIDE)
    expected = encoded(visual, images)
    half = visual.to(torch.bfloat16)
    plain = encoded(half, images.bfloat16())
    assert pack_blocks(half) == LAYERS
    packed = encoded(half, images.bfloat16())
    assert float((packed * expected).sum(1).min()) > 0.999
    # No further from float32 than torch's own bfloat16 is, but for chance.
    assert float((packed - expected).norm()) < 1.5 * float((plain - expected).norm())


@needs_bfloat16
def test_blocks_of_another_kind_stay_as_they_are() -> None:
    scaled = tower(ls_init_value=0.5).to(torch.bfloat16)
    assert pack_blocks(scaled) == 0
    mixed = tower().to(torch.bfloat16)
    block: Any = mixed.get_submodule("transformer.resblocks.1")
    block.attn.bias_k = nn.Parameter(torch.zeros(1, 1, WIDTH))
    assert pack_blocks(mixed) == LAYERS - 1
    kinds = [type(each) is PackedBlock for each in mixed.get_submodule("transformer.resblocks").children()]
    assert kinds == [True, False, True]


def test_float32_and_trunks_of_convolutions_stay_as_they_are() -> None:
    assert pack_blocks(tower()) == 0
    assert pack_blocks(nn.Sequential(nn.Conv2d(3, 8, 3)).to(torch.bfloat16)) == 0


@needs_bfloat16
@pytest.mark.parametrize(("side", "patch", "bias"), [(64, 16, False), (64, 16, True), (70, 16, False), (28, 14, False)])
def test_packed_patches_are_those_of_the_convolution(side: int, patch: int, bias: bool) -> None:
    torch.manual_seed(1)
    convolution = nn.Conv2d(3, 32, patch, patch, bias=bias).requires_grad_(False)
    half = nn.Conv2d(3, 32, patch, patch, bias=bias).requires_grad_(False).to(torch.bfloat16)
    half.load_state_dict(convolution.state_dict())
    images = torch.randn(3, 3, side, side)
    with torch.inference_mode():
        expected = convolution(images).flatten(2)
        found = PackedPatches(half)(images.bfloat16().to(memory_format=torch.channels_last))
    assert found.shape == expected.shape
    assert torch.allclose(found.float(), expected, rtol=0.02, atol=0.02)


@needs_bfloat16
def test_only_patches_that_do_not_overlap_are_packed() -> None:
    visual: Any = tower().to(torch.bfloat16)
    pack_blocks(visual)
    assert type(visual.conv1) is PackedPatches
    overlapping: Any = tower().to(torch.bfloat16)
    overlapping.conv1.padding = (1, 1)
    pack_blocks(overlapping)
    assert type(overlapping.conv1) is nn.Conv2d


@needs_bfloat16
def test_a_mask_is_refused_rather_than_forgotten() -> None:
    visual = tower().to(torch.bfloat16)
    pack_blocks(visual)
    block = visual.get_submodule("transformer.resblocks.0")
    state, mask = torch.zeros(1, 4, WIDTH, dtype=torch.bfloat16), torch.zeros(4, 4)
    with pytest.raises(ValueError, match="no mask"):
        block(state, attn_mask=mask)
    with pytest.raises(ValueError, match="no mask"):
        block(state, None, None, mask)
