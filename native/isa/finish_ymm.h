// From sums to codes, 16 at a time in AVX2, for the rules that networks mostly use; one by one for the others.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "round.h"

namespace qtool::QTOOL_ISA {

inline __m256i load_ints(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

// Constants of 16 channels; half 0 and 1 are 8 channels each.
template <bool kDivided>
struct RealCodes {
  __m256d factor[4], divisor[4];

  RealCodes(const Epilogue& e, size_t channel) {
    // Unrolled at once, or the compiler copies through memory in halves and waits for them.
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      factor[i] = _mm256_loadu_pd(e.factor + channel + 4 * i);
      if constexpr (kDivided) divisor[i] = _mm256_loadu_pd(e.divisor + channel + 4 * i);
    }
  }

  // To nearest, ties to even.
  __m128i four(size_t quarter, __m128i sums) const {
    __m256d value = _mm256_mul_pd(_mm256_cvtepi32_pd(sums), factor[quarter]);
    if constexpr (kDivided) {
      value = _mm256_div_pd(value, divisor[quarter]);
    } else {
      const __m256d snapper = _mm256_set1_pd(kSnapper);
      value = _mm256_sub_pd(_mm256_add_pd(value, snapper), snapper);
    }
    return _mm256_cvtpd_epi32(value);
  }

  __m256i operator()(size_t half, __m256i sums) const {
    const __m128i low = four(2 * half, _mm256_castsi256_si128(sums));
    const __m128i high = four(2 * half + 1, _mm256_extracti128_si256(sums, 1));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }
};

struct SingleCodes {
  __m256 factor[2];

  SingleCodes(const Epilogue& e, size_t channel)
      : factor{_mm256_loadu_ps(e.single + channel), _mm256_loadu_ps(e.single + channel + 8)} {}

  // To nearest, ties to even.
  __m256i operator()(size_t half, __m256i sums) const {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), factor[half]));
  }
};

// The rule kSnap, in float32 where that is enough. Three roundings move a value up to 2**8 by less than 2**-14:
// further than that from a tie it rounds as the exact one does, and larger values are clamped. The rest,
// which is little, is snapped. A NaN is doubtful too.
struct SnapCodes {
  SingleCodes guess;
  const Epilogue& e;
  size_t channel;

  SnapCodes(const Epilogue& plan, size_t first) : guess(plan, first), e(plan), channel(first) {}

  __m256i operator()(size_t half, __m256i sums) const {
    const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), guess.factor[half]);
    const __m256i codes = _mm256_cvtps_epi32(value);
    const __m256 rest = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(value, _mm256_cvtepi32_ps(codes)));
    const __m256 doubtful = _mm256_cmp_ps(rest, _mm256_set1_ps(0.5f - 1.0f / 16384), _CMP_NLT_UQ);
    return _mm256_movemask_ps(doubtful) == 0 ? codes : RealCodes<false>(e, channel)(half, sums);
  }
};

// Product and rounding shift of the even lanes; the result is in the low half of each 64 bits.
inline __m256i fixed_point_even(__m256i sums, __m256i multipliers, __m256i shifts) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
  // There is no arithmetic shift of 64 bits: the product is made unsigned by an offset, which is even when shifted.
  const __m256i product = _mm256_xor_si256(_mm256_mul_epi32(sums, multipliers), sign);
  const __m256i odd = _mm256_and_si256(_mm256_srlv_epi64(product, shifts), _mm256_set1_epi64x(1));
  const __m256i nudge = _mm256_srlv_epi64(_mm256_set1_epi64x(-1), _mm256_sub_epi64(_mm256_set1_epi64x(65), shifts));
  const __m256i raised = _mm256_add_epi64(_mm256_add_epi64(product, nudge), odd);
  return _mm256_sub_epi64(_mm256_srlv_epi64(raised, shifts), _mm256_srlv_epi64(sign, shifts));
}

struct FixedPointCodes {
  __m256i multipliers[2], shifts[2];

  FixedPointCodes(const Epilogue& e, size_t channel) {
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      multipliers[half] = load_ints(e.multiplier + channel + 8 * half);
      shifts[half] = load_ints(e.shift + channel + 8 * half);
    }
  }

  __m256i operator()(size_t half, __m256i sums) const {
    const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
    const __m256i even = fixed_point_even(sums, multipliers[half], _mm256_and_si256(shifts[half], low_half));
    const __m256i odd = fixed_point_even(_mm256_srli_epi64(sums, 32), _mm256_srli_epi64(multipliers[half], 32),
                                         _mm256_srli_epi64(shifts[half], 32));
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  }
};

// Adds the zero point and clamps; saturation on the way is a clamp too, and a wider one.
struct Clamp {
  __m256i zero_point;
  __m128i lo, hi;

  explicit Clamp(const Epilogue& e)
      : zero_point(_mm256_set1_epi16(static_cast<int16_t>(e.zero_point))),
        lo(_mm_set1_epi8(static_cast<char>(e.lo))),
        hi(_mm_set1_epi8(static_cast<char>(e.hi))) {}

  __m128i operator()(__m256i low, __m256i high) const {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    const __m256i moved = _mm256_adds_epi16(words, zero_point);
    const __m128i codes = _mm_packus_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
    return _mm_min_epu8(_mm_max_epu8(codes, lo), hi);
  }
};

inline void store_codes(uint8_t* to, __m128i codes, size_t count) {
  if (count == kColumns) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), codes);
  } else {
    alignas(16) uint8_t tail[kColumns];
    _mm_store_si128(reinterpret_cast<__m128i*>(tail), codes);
    memcpy(to, tail, count);
  }
}

// One column of 16 channels; its constants stay in registers for all rows.
template <class ToCodes, bool kSloped>
[[gnu::noinline]] void finish_column(const Epilogue& e, const Correction& c, size_t channel, const Tile& t,
                                     size_t first, size_t count) {
  const ToCodes to_codes(e, channel);
  const Clamp clamp(e);
  const __m256i low_offset = load_ints(c.offset + channel), high_offset = load_ints(c.offset + channel + 8);
  const int32_t* sums = t.sums + first;
  uint8_t* out = static_cast<uint8_t*>(t.out) + first;
  for (size_t row = 0; row < t.rows; ++row, sums += t.stride, out += t.out_stride) {
    __m256i low = _mm256_add_epi32(load_ints(sums), low_offset);
    __m256i high = _mm256_add_epi32(load_ints(sums + 8), high_offset);
    if constexpr (kSloped) {
      const __m256i row_sum = _mm256_set1_epi32(t.row_sums[row]);
      low = _mm256_add_epi32(low, _mm256_mullo_epi32(load_ints(c.slope + channel), row_sum));
      high = _mm256_add_epi32(high, _mm256_mullo_epi32(load_ints(c.slope + channel + 8), row_sum));
    }
    store_codes(out, clamp(to_codes(0, low), to_codes(1, high)), count);
  }
}

template <class ToCodes>
inline void finish_columns(const Epilogue& e, const Correction& c, size_t channel, const Tile& t) {
  for (size_t i = 0; i < t.channels; i += kColumns) {
    const size_t count = t.channels - i < kColumns ? t.channels - i : kColumns;
    if (c.slope != nullptr) {
      finish_column<ToCodes, true>(e, c, channel + i, t, i, count);
    } else {
      finish_column<ToCodes, false>(e, c, channel + i, t, i, count);
    }
  }
}

// Writes codes or, under kReal, float32 values of a tile that begins at `channel`.
inline void finish(const Epilogue& e, const Correction& c, size_t channel, const Tile& t) {
  const bool narrow = e.narrow && e.element == 1;
  if (narrow && e.rule == Rule::kFloat) return finish_columns<SingleCodes>(e, c, channel, t);
  const bool vectors = narrow && e.rounding == Rounding::kHalfEven;
  if (vectors && e.rule == Rule::kSnap) return finish_columns<SnapCodes>(e, c, channel, t);
  if (vectors && e.rule == Rule::kDivide) return finish_columns<RealCodes<true>>(e, c, channel, t);
  if (vectors && e.rule == Rule::kFixedPoint) return finish_columns<FixedPointCodes>(e, c, channel, t);
  finish_tile_plain(e, c, channel, t);
}

}  // namespace qtool::QTOOL_ISA
