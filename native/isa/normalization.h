// Softmax and layer normalization, row by row. Both round a quotient half up: float64 finds it, and where it comes
// too near to a boundary to be sure of, whole numbers do.
#pragma once

#include <math.h>
#include <string.h>

#include "round.h"

namespace qtool::QTOOL_ISA {

constexpr int32_t kReciprocalBits = 14;
constexpr int32_t kNormBits = 16;
constexpr int32_t kRootBits = 62;
// Estimates lie below 2**28 and are off by less than three roundings of them, which is far less than this.
constexpr double kDoubt = 1.0 / (1 << 20);

inline int64_t floor_div(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient - (a % b < 0);
}

// floor(raised), where `raised` estimates n / d + 1/2 and exact() returns the pair n, d as 2 n + d and 2 d.
template <class Exact>
inline double rounded_quotient(double raised, Exact exact) {
  const double low = floor(raised), part = raised - low;
  if (part > kDoubt && part < 1.0 - kDoubt) return low;
  return static_cast<double>(exact());
}

template <class In>
inline int64_t load_powers(const Softmax& s, const In* x, int32_t* powers) {
  In greatest = 0;
  for (size_t i = 0; i < s.length; ++i) greatest = x[i] > greatest ? x[i] : greatest;
  int64_t total = 0;
  for (size_t i = 0; i < s.length; ++i) total += powers[i] = s.powers[greatest - x[i]];
  return total << kReciprocalBits;
}

// The same, where what a mask hides has no power. In a row of which all is hidden, all scores are alike.
template <class In>
inline int64_t load_kept_powers(const Softmax& s, const uint8_t* kept, const In* x, int32_t* powers) {
  int32_t greatest = -1;
  for (size_t i = 0; i < s.length; ++i) {
    const int32_t score = kept[i] != 0 ? x[i] : -1;
    greatest = score > greatest ? score : greatest;
  }
  int64_t total = 0;
  for (size_t i = 0; i < s.length; ++i) {
    const int32_t below = kept[i] != 0 ? greatest - x[i] : 0;
    total += powers[i] = kept[i] != 0 || greatest < 0 ? s.powers[below] : 0;
  }
  return total << kReciprocalBits;
}

// Codes of some quotients, in a loop that compilers turn into vectors; false when one of them is in doubt.
template <class Out>
inline bool guess_codes(const Softmax& s, const int32_t* powers, double ratio, size_t count, Out* __restrict codes) {
  const double lo = s.lo - s.zero_point, hi = s.hi - s.zero_point;
  const int32_t zero_point = s.zero_point;
  int32_t doubts = 0;
  for (size_t i = 0; i < count; ++i) {
    const double raised = powers[i] * ratio + 0.5, low = floor(raised), part = raised - low;
    doubts += part > kDoubt && part < 1.0 - kDoubt ? 0 : 1;
    const double bounded = low < lo ? lo : low > hi ? hi : low;
    codes[i] = static_cast<Out>(static_cast<int32_t>(bounded) + zero_point);
  }
  return doubts == 0;
}

template <class Out>
inline void exact_codes(const Softmax& s, const int32_t* powers, int64_t total, double ratio, size_t count,
                        Out* codes) {
  const double lo = s.lo - s.zero_point, hi = s.hi - s.zero_point;
  for (size_t i = 0; i < count; ++i) {
    const double code = rounded_quotient(powers[i] * ratio + 0.5, [&] {
      return (2 * powers[i] * s.reciprocal + total) / (2 * total);
    });
    codes[i] = static_cast<Out>(static_cast<int32_t>(clamped(code, lo, hi)) + s.zero_point);
  }
}

template <class In, class Out>
inline void softmax_rows(const Softmax& s, const Mask& mask, const In* x, size_t begin, size_t end, int32_t* powers,
                         Out* out) {
  constexpr size_t kChunk = 64;
  Out codes[kChunk];
  for (size_t row = begin; row < end; ++row) {
    const In* scores = x + row * s.length;
    const uint8_t* kept = mask.kept == nullptr ? nullptr : mask.kept + static_cast<size_t>(mask.row[row]) * s.length;
    const int64_t total = kept == nullptr ? load_powers(s, scores, powers) : load_kept_powers(s, kept, scores, powers);
    const double ratio = static_cast<double>(s.reciprocal) / static_cast<double>(total);
    for (size_t i = 0; i < s.length; i += kChunk) {
      const size_t count = s.length - i < kChunk ? s.length - i : kChunk;
      if (!guess_codes(s, powers + i, ratio, count, codes)) exact_codes(s, powers + i, total, ratio, count, codes);
      memcpy(out + row * s.length + i, codes, count * sizeof(Out));
    }
  }
}

// Scratch: `length` powers.
inline void softmax(const Softmax& s, const Mask& mask, const void* x, size_t element, size_t begin, size_t end,
                    void* scratch, void* out, size_t out_element) {
  const auto *bytes = static_cast<const uint8_t*>(x);
  const auto *words = static_cast<const uint16_t*>(x);
  auto *to_bytes = static_cast<uint8_t*>(out);
  auto *to_words = static_cast<uint16_t*>(out);
  int32_t* powers = static_cast<int32_t*>(scratch);
  if (element == 1 && out_element == 1) return softmax_rows(s, mask, bytes, begin, end, powers, to_bytes);
  if (element == 1) return softmax_rows(s, mask, bytes, begin, end, powers, to_words);
  if (out_element == 1) return softmax_rows(s, mask, words, begin, end, powers, to_bytes);
  softmax_rows(s, mask, words, begin, end, powers, to_words);
}

struct Root {
  int64_t value;
  int32_t shift;
};

// floor(sqrt(value) * 2**shift) of 30 or 31 bits, for 1..2**62.
inline Root scaled_root(int64_t value) {
  int bits;
  frexp(static_cast<double>(value), &bits);
  const int32_t shift = bits < kRootBits ? (kRootBits - bits) / 2 : 0;
  const int64_t scaled = value << (2 * shift);
  int64_t root = static_cast<int64_t>(sqrt(static_cast<double>(scaled)));
  root -= root * root > scaled;
  root += (root + 1) * (root + 1) <= scaled;
  return {root, shift};
}

// What the sums over a row say about all of its values.
struct Moments {
  int64_t total;
  Root root;
};

template <class In>
inline Moments moments(const LayerNorm& n, const In* x) {
  int64_t total = 0, squares = 0;
  for (size_t i = 0; i < n.length; ++i) {
    const int64_t value = x[i] - n.zero_point;
    total += value;
    squares += value * value;
  }
  total *= n.centred;
  const int64_t spread = static_cast<int64_t>(n.length) * squares - total * total + n.epsilon;
  return {total, scaled_root(spread < 1 ? 1 : spread)};
}

template <class In>
inline void normalize_row(const LayerNorm& n, const In* x, double* sums) {
  const Moments m = moments(n, x);
  const int64_t length = static_cast<int64_t>(n.length);
  const double scale = ldexp(1.0, m.root.shift + kNormBits) / static_cast<double>(m.root.value);
  for (size_t i = 0; i < n.length; ++i) {
    const int64_t centred = length * (x[i] - n.zero_point) - m.total;
    const double normal = rounded_quotient(static_cast<double>(centred) * scale + 0.5, [&] {
      const int64_t raised = centred * (int64_t{1} << (m.root.shift + kNormBits));
      return floor_div(2 * raised + m.root.value, 2 * m.root.value);
    });
    sums[i] = normal * n.gains[i] + n.shifts[i];
  }
}

// Scratch: `length` sums.
inline void layer_norm(const LayerNorm& n, const void* x, size_t element, size_t begin, size_t end, void* scratch,
                       void* out) {
  double* sums = static_cast<double*>(scratch);
  for (size_t row = begin; row < end; ++row) {
    const size_t first = row * n.length;
    if (element == 1) {
      normalize_row(n, static_cast<const uint8_t*>(x) + first, sums);
    } else {
      normalize_row(n, static_cast<const uint16_t*>(x) + first, sums);
    }
    finish_plain(*n.epilogue, 0, sums, n.length, static_cast<uint8_t*>(out) + first * n.epilogue->element);
  }
}

}  // namespace qtool::QTOOL_ISA
