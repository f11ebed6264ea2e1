// One sum to one code, by every rule: the definition that the vector versions must match bit for bit.
#pragma once

#include <math.h>

#include "plan.h"

namespace qtool::QTOOL_ISA {

inline double half_up(double x) {
  const double low = floor(x);
  // No half is added to x: that sum may itself be rounded.
  return low + (x - low >= 0.5 ? 1.0 : 0.0);
}

inline double rounded(double x, Rounding mode) {
  switch (mode) {
    case Rounding::kHalfUp: return half_up(x);
    case Rounding::kHalfAway: return copysign(half_up(fabs(x)), x);
    case Rounding::kFloor: return floor(x);
    default: return rint(x);
  }
}

// Added and taken away again, it rounds to the nearest multiple of 2**-42: a product that should be a tie, or whole,
// is one again. qtool/runtime/native/proof.py says where that holds.
constexpr double kSnapper = 1536.0;

inline double snapped(double x) { return (x + kSnapper) - kSnapper; }

// value / 2**shift for shift 0..62.
inline int64_t shifted(int64_t value, int32_t shift, Rounding mode) {
  const int64_t quotient = value >> shift;
  if (mode == Rounding::kFloor) return quotient;
  const int64_t remainder = value & ((int64_t{1} << shift) - 1);
  const int64_t up = mode == Rounding::kHalfEven ? (quotient & 1) : mode == Rounding::kHalfAway ? value >= 0 : 1;
  // The half of shift 0 is out of reach of its remainder, so nothing moves.
  const int64_t half = shift > 0 ? int64_t{1} << (shift - 1) : 1;
  return quotient + (remainder + up > half);
}

template <class T>
inline T clamped(T value, T lo, T hi) {
  return value < lo ? lo : value > hi ? hi : value;
}

// gemmlowp: a saturating left shift or none, a high product with ties up, a right shift with ties away from zero.
inline int64_t two_roundings(int64_t sum, int64_t multiplier, int32_t shift) {
  const int32_t exponent = 31 - shift;
  const int64_t raised = exponent > 0 ? static_cast<int64_t>(static_cast<uint64_t>(sum) << exponent) : sum;
  const int64_t left = clamped<int64_t>(raised, INT32_MIN, INT32_MAX);
  const int64_t high = shifted(left * multiplier, 31, Rounding::kHalfUp);
  return shifted(high, exponent < 0 ? -exponent : 0, Rounding::kHalfAway);
}

// Saturates a real number far outside the codes, where a cast to an integer would be undefined.
inline int64_t whole(double value) { return static_cast<int64_t>(clamped(value, -1073741824.0, 1073741824.0)); }

// A sum is an int32_t, or a double that is a whole number below 2**53.
template <class Sum>
inline int64_t requantized(const Epilogue& e, size_t channel, Sum sum) {
  const int64_t total = static_cast<int64_t>(sum);
  switch (e.rule) {
    case Rule::kSnap: return whole(rounded(snapped(sum * e.factor[channel]), e.rounding));
    case Rule::kDivide: return whole(rounded(sum * e.factor[channel] / e.divisor[channel], e.rounding));
    case Rule::kFixedPoint: return shifted(total * e.multiplier[channel], e.shift[channel], e.rounding);
    case Rule::kGemmlowp: return two_roundings(total, e.multiplier[channel], e.shift[channel]);
    default: return whole(rintf(static_cast<float>(sum) * e.single[channel]));
  }
}

// Quotients rounded half to even, in a loop that compilers turn into vectors. The bounds are whole numbers, so that the
// clamp may come first.
template <class Code, class Sum>
inline void nearest_codes(const Epilogue& e, size_t channel, const Sum* sums, size_t count, Code* __restrict codes) {
  const double lo = e.lo - e.zero_point, hi = e.hi - e.zero_point;
  const double *factor = e.factor + channel, *divisor = e.divisor + channel;
  const int32_t zero_point = e.zero_point;
  for (size_t i = 0; i < count; ++i) {
    const double value = sums[i] * factor[i] / divisor[i];
    const double bounded = value < lo ? lo : value > hi ? hi : value;
    codes[i] = static_cast<Code>(static_cast<int32_t>(rint(bounded)) + zero_point);
  }
}

template <class Code, class Sum>
inline void finish_codes(const Epilogue& e, size_t channel, const Sum* sums, size_t count, Code* codes) {
  if (e.rule == Rule::kDivide && e.rounding == Rounding::kHalfEven) {
    return nearest_codes(e, channel, sums, count, codes);
  }
  for (size_t i = 0; i < count; ++i) {
    const int64_t code = requantized(e, channel + i, sums[i]) + e.zero_point;
    codes[i] = static_cast<Code>(clamped<int64_t>(code, e.lo, e.hi));
  }
}

// Writes codes or, under kReal, float32 values of `count` sums of consecutive channels.
template <class Sum>
inline void finish_plain(const Epilogue& e, size_t channel, const Sum* sums, size_t count, void* out) {
  if (e.rule == Rule::kReal) {
    float* real = static_cast<float*>(out);
    for (size_t i = 0; i < count; ++i) real[i] = static_cast<float>(sums[i] * e.factor[channel + i]);
  } else if (e.rule == Rule::kSum) {
    int32_t* whole = static_cast<int32_t*>(out);
    for (size_t i = 0; i < count; ++i) whole[i] = static_cast<int32_t>(sums[i]);
  } else if (e.element == 1) {
    finish_codes(e, channel, sums, count, static_cast<uint8_t*>(out));
  } else {
    finish_codes(e, channel, sums, count, static_cast<uint16_t*>(out));
  }
}

// Corrects the sums of a tile in place, then finishes them one by one.
inline void finish_tile_plain(const Epilogue& e, const Correction& c, size_t channel, const Tile& t) {
  for (size_t row = 0; row < t.rows; ++row) {
    int32_t* sums = t.sums + row * t.stride;
    for (size_t i = 0; i < t.channels; ++i) {
      uint32_t value = static_cast<uint32_t>(sums[i]) + static_cast<uint32_t>(c.offset[channel + i]);
      if (c.slope != nullptr) {
        value += static_cast<uint32_t>(c.slope[channel + i]) * static_cast<uint32_t>(t.row_sums[row]);
      }
      sums[i] = static_cast<int32_t>(value);
    }
    finish_plain(e, channel, sums, t.channels, static_cast<uint8_t*>(t.out) + row * t.out_stride * e.element);
  }
}

}  // namespace qtool::QTOOL_ISA
