"""Transformer blocks for processors that multiply bfloat16: the same computation in fewer passes over memory.

torch brings a layer's weights into the order that the processor wants at each call, and writes and reads the picture's
state once more for every bias, activation and sum. Here weights are reordered once, when the model is loaded, and
activation and sum are part of the multiplication, by the operators that `torch.compile` uses for its own output.
Compiling itself was measured to be slower (docs/performance.md), and would need a C++ compiler wherever we run.
"""

from typing import Any

import structlog
import torch
from torch import Tensor, nn

_LOG = structlog.get_logger("imagescreen.embedding")
_OPERATORS = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")


def pack_blocks(visual: nn.Module) -> int:
    """Replaces the blocks of an open_clip vision transformer in bfloat16 on a processor, as far as they are plain
    ones, and with them its first layer; returns how many blocks. Anything else, a trunk of convolutions for instance,
    stays as it is.

    The operators are no public ones of torch: without them nothing is replaced, and what they compute is checked with
    the model's test vector as everything else is.
    """
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    if not isinstance(blocks, nn.ModuleList):
        return 0
    plain = [place for place, block in enumerate(blocks) if _is_plain(block)]
    if not plain or not _supported():
        return 0
    for place in plain:
        blocks[place] = PackedBlock(blocks[place])
    if _is_plain_patching(getattr(visual, "conv1", None)):
        visual.conv1 = PackedPatches(visual.conv1)
    return len(plain)


class PackedPatches(nn.Module):
    """The first layer of a vision transformer, a convolution whose patches do not overlap, as one multiplication: as a
    convolution it takes torch seven times as long for one picture, and three times for eight.
    """

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        weight = convolution.weight
        self._side: int = convolution.kernel_size[0]
        # Pictures have their channels last in memory, so a patch's numbers are in the order row, column, channel.
        self._linear = _Linear(weight.permute(0, 2, 3, 1).reshape(len(weight), -1), convolution.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, width, grid * grid), in memory as the (n, grid * grid, width) that is made of it next."""
        n, channels, height, width = images.shape
        side = self._side
        rows, columns = height // side, width // side
        cut = images[..., : rows * side, : columns * side].permute(0, 2, 3, 1)
        patches = cut.reshape(n, rows, side, columns, side, channels).transpose(2, 3)
        return self._linear(patches.reshape(n, rows * columns, -1)).transpose(1, 2)


class PackedBlock(nn.Module):
    """A residual attention block of open_clip, with weights of its own: the given one can be let go."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        attention = block.attn
        self._heads: int = attention.num_heads
        self._scale = float(attention.head_dim) ** -0.5
        self._norm_1, self._norm_2 = block.ln_1, block.ln_2
        self._qkv = _Linear(attention.in_proj_weight, attention.in_proj_bias)
        self._out = _Linear(attention.out_proj.weight, attention.out_proj.bias)
        fused = _is_plain_gelu(block.mlp.gelu)
        self._widen = _Linear(block.mlp.c_fc.weight, block.mlp.c_fc.bias, gelu=fused)
        self._activation: nn.Module = nn.Identity() if fused else block.mlp.gelu
        self._narrow = _Linear(block.mlp.c_proj.weight, block.mlp.c_proj.bias)

    def forward(self, state: Tensor, k_x: None = None, v_x: None = None, attn_mask: None = None) -> Tensor:
        """(n, tokens, width) -> the same shape; every token sees every other."""
        if k_x is not None or v_x is not None or attn_mask is not None:
            raise ValueError("packed blocks know no keys of others and no mask")
        state = self._out.added_to(state, self._attend(self._norm_1(state)))
        return self._narrow.added_to(state, self._activation(self._widen(self._norm_2(state))))

    def _attend(self, normed: Tensor) -> Tensor:
        # torch's own fused attention takes twice as long on so few tokens.
        n, tokens, width = normed.shape
        split = self._qkv(normed).view(n, tokens, 3, self._heads, width // self._heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).reshape(3, n * self._heads, tokens, -1).unbind()
        weights = torch.baddbmm(q.new_zeros(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=self._scale).softmax(-1)
        return torch.bmm(weights, v).view(n, self._heads, tokens, -1).transpose(1, 2).reshape(n, tokens, width)


class _Linear:
    """x @ weight.T + bias; the gelu of it, or it added to something, costs nothing more."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
        self._bias = None if bias is None else bias.detach()
        self._after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, self._weight, self._bias, *self._after)
        return product

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        both: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weight, self._bias, "add")
        return both


def _supported() -> bool:
    """Whether the operators are there, and compute what they are thought to: they may change with any torch."""
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight, other = (torch.randn(16, 16, generator=generator).bfloat16() for _ in range(3))
    bias = other[0]
    product = nn.functional.linear(x.float(), weight.float(), bias.float())
    expected = (product, nn.functional.gelu(product), product + other.float(), product - bias.float())
    try:
        linear = _Linear(weight, bias)
        fused, unbiased = _Linear(weight, bias, gelu=True), _Linear(weight, None)
        found = (linear(x), fused(x), linear.added_to(other, x), unbiased(x))
        same = all(
            torch.allclose(one.float(), two, rtol=0.02, atol=0.05) for one, two in zip(found, expected, strict=True)
        )
    except (RuntimeError, TypeError) as error:
        _LOG.warning("blocks_not_packed", error=str(error))
        return False
    if not same:
        _LOG.warning("blocks_not_packed", error="torch's operators compute something else")
    return same


def _is_plain(block: Any) -> bool:
    from open_clip.transformer import ResidualAttentionBlock

    if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv"):
        return False
    attention, layers = block.attn, (block.mlp.c_fc, block.mlp.c_proj)
    return (
        type(attention) is nn.MultiheadAttention
        and attention.batch_first
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in layers)
        and all(isinstance(scale, nn.Identity) for scale in (block.ls_1, block.ls_2))
        and all(weight.dtype is torch.bfloat16 and weight.device.type == "cpu" for weight in block.parameters())
    )


def _is_plain_patching(layer: Any) -> bool:
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == layer.stride
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.padding == (0, 0)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.weight.dtype is torch.bfloat16
        and layer.weight.device.type == "cpu"
    )


def _is_plain_gelu(activation: nn.Module) -> bool:
    return type(activation) is nn.GELU and activation.approximate == "none"
