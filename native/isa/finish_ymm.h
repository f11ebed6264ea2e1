// From sums to codes, 16 at a time in AVX2, for the rules that networks mostly use; one by one for the others.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "round.h"

namespace qtool::QTOOL_ISA {

inline __m256i load_ints(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

template <bool kDivided>
inline __m128i real_codes(const Epilogue& e, size_t channel, __m128i sums) {
  __m256d value = _mm256_mul_pd(_mm256_cvtepi32_pd(sums), _mm256_loadu_pd(e.factor + channel));
  if constexpr (kDivided) value = _mm256_div_pd(value, _mm256_loadu_pd(e.divisor + channel));
  return _mm256_cvtpd_epi32(value);  // to nearest, ties to even
}

template <bool kDivided>
inline __m256i real_codes(const Epilogue& e, size_t channel, __m256i sums) {
  const __m128i low = real_codes<kDivided>(e, channel, _mm256_castsi256_si128(sums));
  const __m128i high = real_codes<kDivided>(e, channel + 4, _mm256_extracti128_si256(sums, 1));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

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

inline __m256i fixed_point_codes(const Epilogue& e, size_t channel, __m256i sums) {
  const __m256i multipliers = load_ints(e.multiplier + channel);
  const __m256i shifts = load_ints(e.shift + channel);
  const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
  const __m256i even = fixed_point_even(sums, multipliers, _mm256_and_si256(shifts, low_half));
  const __m256i odd = fixed_point_even(_mm256_srli_epi64(sums, 32), _mm256_srli_epi64(multipliers, 32),
                                       _mm256_srli_epi64(shifts, 32));
  return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}

// Adds the zero point and clamps; saturation on the way is a clamp too, and a wider one.
inline __m128i stored_codes(const Epilogue& e, __m256i low, __m256i high) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
  const __m256i moved = _mm256_adds_epi16(words, _mm256_set1_epi16(static_cast<int16_t>(e.zero_point)));
  const __m128i codes = _mm_packus_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
  const __m128i lo = _mm_set1_epi8(static_cast<char>(e.lo)), hi = _mm_set1_epi8(static_cast<char>(e.hi));
  return _mm_min_epu8(_mm_max_epu8(codes, lo), hi);
}

inline __m256i corrected(const Correction& c, size_t channel, __m256i row_sum, const int32_t* sums) {
  const __m256i total = _mm256_add_epi32(load_ints(sums), load_ints(c.offset + channel));
  if (c.slope == nullptr) return total;
  return _mm256_add_epi32(total, _mm256_mullo_epi32(load_ints(c.slope + channel), row_sum));
}

template <class ToCodes>
inline void finish_vectors(const Epilogue& e, const Correction& c, size_t channel, int32_t row_sum,
                           const int32_t* sums, size_t count, uint8_t* out, ToCodes to_codes) {
  const __m256i row_sums = _mm256_set1_epi32(row_sum);
  for (size_t i = 0; i < count; i += kColumns) {
    const __m256i low = to_codes(e, channel + i, corrected(c, channel + i, row_sums, sums + i));
    const __m256i high = to_codes(e, channel + i + 8, corrected(c, channel + i + 8, row_sums, sums + i + 8));
    const __m128i codes = stored_codes(e, low, high);
    if (count - i >= kColumns) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), codes);
    } else {
      alignas(16) uint8_t tail[kColumns];
      _mm_store_si128(reinterpret_cast<__m128i*>(tail), codes);
      memcpy(out + i, tail, count - i);
    }
  }
}

// Corrects sums and writes `count` codes or, under kReal, float32 values. Reads sums up to the next multiple of 16.
inline void finish(const Epilogue& e, const Correction& c, size_t channel, int32_t row_sum, int32_t* sums,
                   size_t count, void* out) {
  uint8_t* codes = static_cast<uint8_t*>(out);
  if (e.narrow && e.rounding == Rounding::kHalfEven) {
    if (e.rule == Rule::kMultiply) {
      return finish_vectors(e, c, channel, row_sum, sums, count, codes,
                            [](const Epilogue& p, size_t at, __m256i s) { return real_codes<false>(p, at, s); });
    }
    if (e.rule == Rule::kDivide) {
      return finish_vectors(e, c, channel, row_sum, sums, count, codes,
                            [](const Epilogue& p, size_t at, __m256i s) { return real_codes<true>(p, at, s); });
    }
    if (e.rule == Rule::kFixedPoint) {
      return finish_vectors(e, c, channel, row_sum, sums, count, codes,
                            [](const Epilogue& p, size_t at, __m256i s) { return fixed_point_codes(p, at, s); });
    }
  }
  correct(c, channel, row_sum, count, sums);
  finish_plain(e, channel, sums, count, out);
}

}  // namespace qtool::QTOOL_ISA
