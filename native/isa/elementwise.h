// Sums, products and copies of codes, row by row. Needs finish().
#pragma once

#include <cstring>

#include "round.h"

namespace qtool::QTOOL_ISA {

template <class In>
inline double real_sum(const Sum& s, In a, In b) {
  return (a - s.zero_a) * s.left + (b - s.zero_b) * s.right;
}

template <class In>
inline float float_sum(const Sum& s, In a, In b) {
  const float left = static_cast<float>(a - s.zero_a) * static_cast<float>(s.left);
  const float right = static_cast<float>(b - s.zero_b) * static_cast<float>(s.right);
  return (left + right) / static_cast<float>(s.divisor);
}

// TensorFlow Lite raises both operands before it rounds them.
template <class In>
inline int64_t gemmlowp_sum(const Sum& s, In a, In b) {
  const int64_t unit = int64_t{1} << s.raised;
  const int64_t left = two_roundings((a - s.zero_a) * unit, s.left_multiplier, s.left_shift);
  const int64_t right = two_roundings((b - s.zero_b) * unit, s.right_multiplier, s.right_shift);
  return two_roundings(left + s.sign * right, s.multiplier, s.shift);
}

template <class In, class Out, class ToCode>
inline void sum_codes(const Sum& s, const In* a, const In* b, size_t columns, Out* codes, ToCode to_code) {
  for (size_t i = 0; i < columns; ++i) {
    codes[i] = static_cast<Out>(clamped<int64_t>(to_code(a[i], b[i]) + s.zero_point, s.lo, s.hi));
  }
}

inline double nearest(double x) { return rint(x); }
inline float nearest(float x) { return rintf(x); }

// Rounding half to even alone: a loop that compilers turn into vectors, because it writes where nothing else lies.
// The bounds are whole numbers, so that the clamp may come first.
template <class Real, class In, class Out, class Scaled>
inline void sum_nearest(const Sum& s, const In* a, const In* b, size_t columns, Out* out, Scaled scaled) {
  constexpr size_t kChunk = 256;
  const Real lo = static_cast<Real>(s.lo - s.zero_point), hi = static_cast<Real>(s.hi - s.zero_point);
  const int32_t zero_point = s.zero_point;
  Out codes[kChunk];
  for (size_t start = 0; start < columns; start += kChunk) {
    const size_t count = columns - start < kChunk ? columns - start : kChunk;
    for (size_t i = 0; i < count; ++i) {
      const Real value = scaled(a[start + i], b[start + i]);
      const Real bounded = value < lo ? lo : value > hi ? hi : value;
      codes[i] = static_cast<Out>(static_cast<int32_t>(nearest(bounded)) + zero_point);
    }
    memcpy(out + start, codes, count * sizeof(Out));
  }
}

template <class In, class Out>
inline void sum_row(const Sum& plan, const In* a, const In* b, size_t columns, Out* out) {
  // A copy that no store can change.
  const Sum s = plan;
  const bool divided = s.rule == Rule::kDivide;
  if (s.rule == Rule::kGemmlowp) {
    sum_codes(s, a, b, columns, out, [&](In x, In y) { return gemmlowp_sum(s, x, y); });
  } else if (s.rule == Rule::kFloat) {
    sum_nearest<float>(s, a, b, columns, out, [s](In x, In y) { return float_sum(s, x, y); });
  } else if (s.rounding == Rounding::kHalfEven && divided) {
    sum_nearest<double>(s, a, b, columns, out, [s](In x, In y) { return real_sum(s, x, y) * s.factor / s.divisor; });
  } else if (s.rounding == Rounding::kHalfEven) {
    sum_nearest<double>(s, a, b, columns, out, [s](In x, In y) { return snapped(real_sum(s, x, y) * s.factor); });
  } else {
    sum_codes(s, a, b, columns, out, [&](In x, In y) {
      const double scaled = real_sum(s, x, y) * s.factor;
      return whole(rounded(divided ? scaled / s.divisor : snapped(scaled), s.rounding));
    });
  }
}

template <class In>
inline void sum_rows(const Sum& s, const Operands& o, size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) {
    const In *a = static_cast<const In*>(o.a) + row * o.a_stride, *b = static_cast<const In*>(o.b) + row * o.b_stride;
    uint8_t* out = static_cast<uint8_t*>(o.out) + row * o.columns * s.element;
    if (s.rule == Rule::kReal) {
      float* real = reinterpret_cast<float*>(out);
      for (size_t i = 0; i < o.columns; ++i) real[i] = static_cast<float>(real_sum(s, a[i], b[i]));
    } else if (s.element == 1) {
      sum_row(s, a, b, o.columns, out);
    } else {
      sum_row(s, a, b, o.columns, reinterpret_cast<uint16_t*>(out));
    }
  }
}

inline void sum(const Sum& s, const Operands& o, size_t begin, size_t end) {
  if (o.element == 1) return sum_rows<uint8_t>(s, o, begin, end);
  sum_rows<uint16_t>(s, o, begin, end);
}

// Products of bytes fit 32 bits, those of words do not.
inline void finish_products(const Epilogue& e, int32_t* products, size_t count, void* out) {
  static const int32_t zeros[64 + kSlack] = {};
  finish(e, Correction{zeros, nullptr}, 0, Tile{products, 0, 1, count, nullptr, out, 0});
}

inline void finish_products(const Epilogue& e, double* products, size_t count, void* out) {
  finish_plain(e, 0, products, count, out);
}

// The epilogue has equal channels; as many products at a time are finished.
template <class In, class Wide>
inline void product_rows(const Product& p, const Operands& o, size_t begin, size_t end) {
  constexpr size_t kChunk = 64;
  const Epilogue& e = *p.epilogue;
  const size_t step = e.channels < kChunk ? e.channels : kChunk;
  alignas(64) Wide products[kChunk];
  for (size_t row = begin; row < end; ++row) {
    const In *a = static_cast<const In*>(o.a) + row * o.a_stride, *b = static_cast<const In*>(o.b) + row * o.b_stride;
    uint8_t* to = static_cast<uint8_t*>(o.out) + row * o.columns * e.element;
    for (size_t i = 0; i < o.columns; i += step) {
      const size_t count = o.columns - i < step ? o.columns - i : step;
      for (size_t j = 0; j < count; ++j) products[j] = Wide(a[i + j] - p.zero_a) * Wide(b[i + j] - p.zero_b);
      finish_products(e, products, count, to + i * e.element);
    }
  }
}

inline void product(const Product& p, const Operands& o, size_t begin, size_t end) {
  if (o.element == 1) return product_rows<uint8_t, int32_t>(p, o, begin, end);
  product_rows<uint16_t, double>(p, o, begin, end);
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
