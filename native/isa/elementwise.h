// Sums, products and copies of codes, row by row. Needs finish().
#pragma once

#include <cstring>

#include "round.h"

namespace qtool::QTOOL_ISA {

inline double real_sum(const Sum& s, uint8_t a, uint8_t b) { return (a - s.zero_a) * s.left + (b - s.zero_b) * s.right; }

inline float float_sum(const Sum& s, uint8_t a, uint8_t b) {
  const float left = static_cast<float>(a - s.zero_a) * static_cast<float>(s.left);
  const float right = static_cast<float>(b - s.zero_b) * static_cast<float>(s.right);
  return (left + right) / static_cast<float>(s.divisor);
}

// TensorFlow Lite raises both operands by 20 bits before it rounds them.
inline int64_t gemmlowp_sum(const Sum& s, uint8_t a, uint8_t b) {
  const int64_t unit = int64_t{1} << 20;
  const int64_t left = two_roundings((a - s.zero_a) * unit, s.left_multiplier, s.left_shift);
  const int64_t right = two_roundings((b - s.zero_b) * unit, s.right_multiplier, s.right_shift);
  return two_roundings(left + s.sign * right, s.multiplier, s.shift);
}

template <class ToCode>
inline void sum_codes(const Sum& s, const uint8_t* a, const uint8_t* b, size_t columns, void* out, ToCode to_code) {
  uint8_t* codes = static_cast<uint8_t*>(out);
  for (size_t i = 0; i < columns; ++i) {
    codes[i] = static_cast<uint8_t>(clamped<int64_t>(to_code(a[i], b[i]) + s.zero_point, s.lo, s.hi));
  }
}

inline double nearest(double x) { return rint(x); }
inline float nearest(float x) { return rintf(x); }

// Rounding half to even alone: a loop that compilers turn into vectors, because it writes where nothing else lies.
// The bounds are whole numbers, so that the clamp may come first.
template <class Real, class Scaled>
inline void sum_nearest(const Sum& s, const uint8_t* a, const uint8_t* b, size_t columns, void* out, Scaled scaled) {
  constexpr size_t kChunk = 256;
  const Real lo = static_cast<Real>(s.lo - s.zero_point), hi = static_cast<Real>(s.hi - s.zero_point);
  const int32_t zero_point = s.zero_point;
  uint8_t codes[kChunk];
  for (size_t start = 0; start < columns; start += kChunk) {
    const size_t count = columns - start < kChunk ? columns - start : kChunk;
    for (size_t i = 0; i < count; ++i) {
      const Real value = scaled(a[start + i], b[start + i]);
      const Real bounded = value < lo ? lo : value > hi ? hi : value;
      codes[i] = static_cast<uint8_t>(static_cast<int32_t>(nearest(bounded)) + zero_point);
    }
    memcpy(static_cast<uint8_t*>(out) + start, codes, count);
  }
}

inline void sum_row(const Sum& plan, const uint8_t* a, const uint8_t* b, size_t columns, void* out) {
  // A copy that no store can change.
  const Sum s = plan;
  const bool divided = s.rule == Rule::kDivide;
  if (s.rule == Rule::kReal) {
    float* real = static_cast<float*>(out);
    for (size_t i = 0; i < columns; ++i) real[i] = static_cast<float>(real_sum(s, a[i], b[i]));
  } else if (s.rule == Rule::kGemmlowp) {
    sum_codes(s, a, b, columns, out, [&](uint8_t x, uint8_t y) { return gemmlowp_sum(s, x, y); });
  } else if (s.rule == Rule::kFloat) {
    sum_nearest<float>(s, a, b, columns, out, [s](uint8_t x, uint8_t y) { return float_sum(s, x, y); });
  } else if (s.rounding == Rounding::kHalfEven && divided) {
    sum_nearest<double>(s, a, b, columns, out,
                        [s](uint8_t x, uint8_t y) { return real_sum(s, x, y) * s.factor / s.divisor; });
  } else if (s.rounding == Rounding::kHalfEven) {
    sum_nearest<double>(s, a, b, columns, out,
                        [s](uint8_t x, uint8_t y) { return snapped(real_sum(s, x, y) * s.factor); });
  } else {
    sum_codes(s, a, b, columns, out, [&](uint8_t x, uint8_t y) {
      const double scaled = real_sum(s, x, y) * s.factor;
      return whole(rounded(divided ? scaled / s.divisor : snapped(scaled), s.rounding));
    });
  }
}

inline uint8_t* out_row(const Operands& o, bool real, size_t row) {
  return static_cast<uint8_t*>(o.out) + row * o.out_stride * (real ? sizeof(float) : 1);
}

inline void sum(const Sum& s, const Operands& o, size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) {
    sum_row(s, o.a + row * o.a_stride, o.b + row * o.b_stride, o.columns, out_row(o, s.rule == Rule::kReal, row));
  }
}

// The epilogue has equal channels; as many products at a time are finished.
inline void product(const Product& p, const Operands& o, size_t begin, size_t end) {
  constexpr size_t kChunk = 64;
  const Epilogue& e = *p.epilogue;
  const size_t step = e.channels < kChunk ? e.channels : kChunk;
  alignas(64) int32_t products[kChunk];
  const int32_t zeros[kChunk + kSlack] = {};
  for (size_t row = begin; row < end; ++row) {
    const uint8_t *a = o.a + row * o.a_stride, *b = o.b + row * o.b_stride;
    uint8_t* to = static_cast<uint8_t*>(o.out) + row * o.out_stride * e.element;
    for (size_t i = 0; i < o.columns; i += step) {
      const size_t count = o.columns - i < step ? o.columns - i : step;
      for (size_t j = 0; j < count; ++j) products[j] = (a[i + j] - p.zero_a) * (b[i + j] - p.zero_b);
      finish(e, Correction{zeros, nullptr}, 0, Tile{products, 0, 1, count, nullptr, to + i * e.element, 0});
    }
  }
}

// Copies rows, through a table of 256 codes where there is one.
inline void copy(const uint8_t* x, size_t x_stride, size_t columns, const uint8_t* table, uint8_t* out,
                 size_t out_stride, size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) {
    const uint8_t* from = x + row * x_stride;
    uint8_t* to = out + row * out_stride;
    if (table == nullptr) {
      memcpy(to, from, columns);
    } else {
      for (size_t i = 0; i < columns; ++i) to[i] = table[from[i]];
    }
  }
}

}  // namespace qtool::QTOOL_ISA
