"""Numbers: integer formats, affine quantization, ranges, requantization and packing. numpy only, no ONNX."""

from __future__ import annotations

from passes.numerics.affine import dequantize, fake_quantize, quantize
from passes.numerics.bitlines import pack_lines, plane_widths, unpack_lines
from passes.numerics.bitstream import pack_bits, unpack_bits
from passes.numerics.exact import ExactRequantizer, exact_requantizer
from passes.numerics.formats import SUPPORTED_BITS, IntFormat
from passes.numerics.granularity import Granularity, PerChannel, PerGroup, PerTensor, parse_granularity
from passes.numerics.group_scales import group_params, multiplier_limit, split_scales
from passes.numerics.histogram import Histogram
from passes.numerics.kl_clip import kl_range
from passes.numerics.mse_clip import best_short_params, mse_range
from passes.numerics.packing import (
    Layout,
    pack_flat,
    pack_gemm,
    packed_size,
    tile_flat,
    tile_gemm,
    unpack_flat,
    unpack_gemm,
    untile_flat,
    untile_gemm,
)
from passes.numerics.qparams import MIN_SCALE, QuantParams, QuantSpec, params_from_range
from passes.numerics.ranges import RangeMethod, activation_range, minmax_range, percentile_range
from passes.numerics.requant import Requantizer, RequantRule, real_multiplier, requantizer, rule_of_sums
from passes.numerics.rounding import MAX_SHIFT, Rounding, round_float, rounding_shift_right
from passes.numerics.scales import short_scale
from passes.numerics.weight_ranges import best_short_scale, weight_range

__all__ = [
    "MAX_SHIFT",
    "MIN_SCALE",
    "SUPPORTED_BITS",
    "ExactRequantizer",
    "Granularity",
    "Histogram",
    "IntFormat",
    "Layout",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "QuantParams",
    "QuantSpec",
    "RangeMethod",
    "RequantRule",
    "Requantizer",
    "Rounding",
    "activation_range",
    "best_short_params",
    "best_short_scale",
    "dequantize",
    "exact_requantizer",
    "fake_quantize",
    "group_params",
    "kl_range",
    "minmax_range",
    "mse_range",
    "multiplier_limit",
    "pack_bits",
    "pack_flat",
    "pack_gemm",
    "pack_lines",
    "packed_size",
    "params_from_range",
    "parse_granularity",
    "percentile_range",
    "plane_widths",
    "quantize",
    "real_multiplier",
    "requantizer",
    "round_float",
    "rounding_shift_right",
    "rule_of_sums",
    "short_scale",
    "split_scales",
    "tile_flat",
    "tile_gemm",
    "unpack_bits",
    "unpack_flat",
    "unpack_gemm",
    "unpack_lines",
    "untile_flat",
    "untile_gemm",
    "weight_range",
]
