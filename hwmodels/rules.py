"""What a machine computes with: table ``[arithmetic]`` of machine files, and the `Rules` for a layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError, UnsupportedError
from hwmodels.fields import spec_error
from hwmodels.types import FLOAT, MAX_BITS, Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodels.spec import HardwareSpec
    from hwmodels.workload import Workload

ROUNDINGS = ("half_even", "half_up", "half_away", "floor")
REQUANTIZATIONS = ("exact", "fixed_point", "gemmlowp", "power_of_two", "float")
"""How an accumulator is multiplied by a real number: as a fraction, by an integer and a shift with one
rounding or with two, by a shift alone, or in float32."""
GRANULARITIES = ("per_tensor", "per_channel", "per_group")
KINDS = ("Conv", "depthwise", "ConvTranspose", "Gemm", "MatMul", "Recurrent")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a machine accepts for one layer; a compiler that obeys them is never refused by the vendor's.

    Attributes:
        precisions: pairs that it runs, sorted, at least one; `FLOAT` among them where layers may stay in
            floating point.
        granularities: of weight scales, out of `GRANULARITIES`.
        symmetric_weights: whether weights must have zero point 0.
        symmetric_acts: whether activations must be signed, with zero point 0.
        power_of_two_scales: whether every scale must be a power of two.
        bias_bits: bits of a bias.
        accumulator_bits: bits of the register that sums products.
        wide_accumulator_bits: the same where a factor has more than 8 bits.
        rounding: one of `ROUNDINGS`.
        requantization: one of `REQUANTIZATIONS`.
        packed_storage: whether memory holds values at the width asked for rather than at that of the pair.
    """

    precisions: tuple[Precision, ...]
    granularities: tuple[str, ...] = ("per_tensor", "per_channel")
    symmetric_weights: bool = False
    symmetric_acts: bool = False
    power_of_two_scales: bool = False
    bias_bits: int = 32
    accumulator_bits: int = 32
    wide_accumulator_bits: int = 64
    rounding: str = "half_even"
    requantization: str = "exact"
    packed_storage: bool = True


@dataclass(frozen=True)
class Arithmetic:
    """Table ``[arithmetic]``: what holds for every layer, and the pairs by kind of layer.

    Attributes:
        weight_bits: widths of weights, rising; with ``act_bits`` instead of ``pairs``.
        act_bits: widths of activations, rising; each goes with every width of weights.
        pairs: supported pairs such as ``"w4a8"``.
        depthwise_pairs: pairs of depthwise convolutions, where they differ.
        gemm_pairs: pairs of matrix products with stored weights, where they differ.
        matmul_pairs: pairs of products of two computed operands, where they differ.
        float_as: pair at whose speed layers in single precision run; empty where there are none.
        unsupported_kinds: kinds of layers, out of `KINDS`, that the machine does not run.
        shared_parameter_ops: operators whose operands must have equal scales and zero points.
        wide_accumulator_bits: as in `Rules`; 0 stands for ``accumulator_bits``.
        source: where this comes from.

    The other keys are those of `Rules`.
    """

    accumulator_bits: int
    rounding: str
    source: str
    weight_bits: tuple[int, ...] = ()
    act_bits: tuple[int, ...] = ()
    pairs: tuple[str, ...] = ()
    depthwise_pairs: tuple[str, ...] = ()
    gemm_pairs: tuple[str, ...] = ()
    matmul_pairs: tuple[str, ...] = ()
    float_as: str = ""
    unsupported_kinds: tuple[str, ...] = ()
    packed_storage: bool = True
    shared_parameter_ops: tuple[str, ...] = ()
    requantization: str = "exact"
    granularities: tuple[str, ...] = ("per_tensor", "per_channel")
    symmetric_weights: bool = False
    symmetric_acts: bool = False
    power_of_two_scales: bool = False
    bias_bits: int = 32
    wide_accumulator_bits: int = 0

    @cached_property
    def precisions(self) -> tuple[Precision, ...]:
        """All pairs of layers without rules of their own, sorted."""
        if self.pairs:
            return _parsed(self.pairs)
        return tuple(Precision(*pair) for pair in product(self.weight_bits, self.act_bits))

    @cached_property
    def float_rates(self) -> Precision | None:
        """The pair at whose speed floats run, or ``None``."""
        return Precision.parse(self.float_as) if self.float_as else None

    @cached_property
    def act_widths(self) -> frozenset[int]:
        """Widths of activations that some kind of layer has."""
        return frozenset(pair.act_bits for pairs in self.by_kind.values() for pair in pairs)

    @cached_property
    def by_kind(self) -> Mapping[str, tuple[Precision, ...]]:
        """Supported pairs of integers of every kind of layer that the machine runs."""
        own = {
            "depthwise": _parsed(self.depthwise_pairs),
            "Gemm": _parsed(self.gemm_pairs),
            "MatMul": _parsed(self.matmul_pairs),
        }
        return {
            kind: own.get(kind) or self.precisions for kind in KINDS if kind not in self.unsupported_kinds
        }

    def rules(self, work: Workload, where: str) -> Rules:
        """Return the rules of one layer.

        Args:
            work: the layer.
            where: the machine, for the message.

        Raises:
            UnsupportedError: the machine does not run this kind of layer.
        """
        return Rules(
            self.supported(work, where),
            granularities=self.granularities,
            symmetric_weights=self.symmetric_weights,
            symmetric_acts=self.symmetric_acts,
            power_of_two_scales=self.power_of_two_scales,
            bias_bits=self.bias_bits,
            accumulator_bits=self.accumulator_bits,
            wide_accumulator_bits=self.wide_accumulator_bits or self.accumulator_bits,
            rounding=self.rounding,
            requantization=self.requantization,
            packed_storage=self.packed_storage,
        )

    def supported(self, work: Workload, where: str) -> tuple[Precision, ...]:
        """Return the pairs of one layer, floats among them; arguments and errors as for `rules`."""
        kind = kind_of(work)
        if kind not in self.by_kind:
            raise UnsupportedError(
                f"{where}: layer {work.name!r}: layers of kind {kind} do not run here; "
                f"the machine runs {', '.join(self.by_kind)}"
            )
        pairs = self.by_kind[kind]
        return pairs if self.float_rates is None or FLOAT in pairs else (*pairs, FLOAT)


def kind_of(work: Workload) -> str:
    """Return the member of `KINDS` that a layer belongs to; a MatMul with stored weights is a Gemm."""
    if work.op == "MatMul":
        return "MatMul" if work.rhs_elements else "Gemm"
    return "depthwise" if work.op == "Conv" and work.depthwise else work.op


def read_arithmetic(spec: HardwareSpec, buildable: frozenset[int]) -> Arithmetic:
    """Read ``[arithmetic]`` and check it.

    Args:
        spec: the machine file.
        buildable: the widths that the architecture can be built for.

    Raises:
        SpecError: the table breaks a rule of `HardwareSpec.table`, or a width or a rule is not possible.
    """
    table = spec.table("arithmetic", Arithmetic)
    if bool(table.pairs) == bool(table.weight_bits or table.act_bits):
        raise spec_error(
            spec.file, "[arithmetic]", "either pairs or weight_bits and act_bits", "both or none"
        )
    if not table.pairs:
        for key in ("weight_bits", "act_bits"):
            _check_widths(spec, key, getattr(table, key), buildable)
    for key in ("pairs", "depthwise_pairs", "gemm_pairs", "matmul_pairs"):
        _check_pairs(spec, key, getattr(table, key), buildable)
    if table.float_as and any(table.float_as not in map(str, pairs) for pairs in table.by_kind.values()):
        expected = "a pair that every kind of layer has"
        raise spec_error(spec.file, "[arithmetic] float_as", expected, table.float_as[:60])
    _check_words(spec, "rounding", (table.rounding,), ROUNDINGS)
    _check_words(spec, "requantization", (table.requantization,), REQUANTIZATIONS)
    _check_words(spec, "granularities", table.granularities or ("",), GRANULARITIES)
    _check_words(spec, "unsupported_kinds", table.unsupported_kinds, KINDS)
    widest = max(pair.weight_bits + pair.act_bits for pairs in table.by_kind.values() for pair in pairs)
    sums = table.accumulator_bits
    limits = {
        "accumulator_bits": (sums, -(-widest // 2), 2 * MAX_BITS),
        "wide_accumulator_bits": (table.wide_accumulator_bits or sums, sums, 2 * MAX_BITS),
        "bias_bits": (table.bias_bits, 1, 2 * MAX_BITS),
    }
    for key, (bits, least, most) in limits.items():
        if not least <= bits <= most:
            raise spec_error(spec.file, f"[arithmetic] {key}", f"{least} to {most}", str(bits)[:60])
    return table


def _parsed(pairs: tuple[str, ...]) -> tuple[Precision, ...]:
    return tuple(sorted(Precision.parse(pair) for pair in pairs))


def _check_widths(spec: HardwareSpec, key: str, widths: tuple[int, ...], buildable: frozenset[int]) -> None:
    if not widths or list(widths) != sorted(set(widths)) or not buildable.issuperset(widths):
        expected = f"rising widths out of {sorted(buildable)}"
        raise spec_error(spec.file, f"[arithmetic] {key}", expected, str(widths)[:60])


def _check_pairs(spec: HardwareSpec, key: str, pairs: tuple[str, ...], buildable: frozenset[int]) -> None:
    where, expected = (
        f"[arithmetic] {key}",
        f"pairs such as 'w4a8', each once, of widths out of {sorted(buildable)}",
    )
    try:
        parsed = _parsed(pairs)
    except HardwareError as error:
        raise spec_error(spec.file, where, expected, str(error)[:80]) from error
    widths = {bits for pair in parsed for bits in (pair.weight_bits, pair.act_bits)}
    if len(set(parsed)) < len(parsed) or not buildable.issuperset(widths):
        raise spec_error(spec.file, where, expected, str(pairs)[:80])


def _check_words(spec: HardwareSpec, key: str, words: tuple[str, ...], known: tuple[str, ...]) -> None:
    for word in words:
        if word not in known:
            raise spec_error(spec.file, f"[arithmetic] {key}", f"one of {', '.join(known)}", repr(word[:60]))
