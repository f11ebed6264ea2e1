// Sums of one output pixel of a depthwise convolution, 16 channels at a time in AVX2.
#pragma once

#include <immintrin.h>

#include "depthwise_channels.h"

namespace qtool::QTOOL_ISA {

// Bytes of two taps are interleaved and widened, so that one vpmaddwd multiplies both taps of 8 channels.
template <int kSixteens>
inline void depthwise_vectors(const uint8_t* const* taps, size_t pairs, const int16_t* weights, size_t pair_stride,
                              size_t channel, int32_t* sums) {
  __m256i total[kSixteens][2];
#pragma GCC unroll 2
  for (int i = 0; i < kSixteens; ++i) total[i][0] = total[i][1] = _mm256_setzero_si256();
  const int16_t* pair_weights = weights + 2 * channel;
  for (size_t pair = 0; pair < pairs; ++pair, pair_weights += pair_stride) {
    const uint8_t *first = taps[2 * pair] + channel, *second = taps[2 * pair + 1] + channel;
    const __m256i* w = reinterpret_cast<const __m256i*>(pair_weights);
#pragma GCC unroll 2
    for (int i = 0; i < kSixteens; ++i) {
      const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first) + i);
      const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second) + i);
      const __m256i low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(left, right));
      const __m256i high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(left, right));
      total[i][0] = _mm256_add_epi32(total[i][0], _mm256_madd_epi16(low, _mm256_loadu_si256(w + 2 * i)));
      total[i][1] = _mm256_add_epi32(total[i][1], _mm256_madd_epi16(high, _mm256_loadu_si256(w + 2 * i + 1)));
    }
  }
  __m256i* out = reinterpret_cast<__m256i*>(sums + channel);
#pragma GCC unroll 2
  for (int i = 0; i < kSixteens; ++i) {
    _mm256_storeu_si256(out + 2 * i, total[i][0]);
    _mm256_storeu_si256(out + 2 * i + 1, total[i][1]);
  }
}

inline void depthwise_pixel(const uint8_t* const* taps, size_t pairs, const int16_t* weights, size_t pair_stride,
                            size_t channels, int32_t* sums) {
  if (channels < kColumns) return depthwise_channels(taps, pairs, weights, pair_stride, 0, channels, sums);
  size_t channel = 0;
  for (; channel + 2 * kColumns <= channels; channel += 2 * kColumns) {
    depthwise_vectors<2>(taps, pairs, weights, pair_stride, channel, sums);
  }
  for (; channel + kColumns <= channels; channel += kColumns) {
    depthwise_vectors<1>(taps, pairs, weights, pair_stride, channel, sums);
  }
  // The last vector overlaps the one before it: nothing is read behind the last channel.
  if (channel < channels) depthwise_vectors<1>(taps, pairs, weights, pair_stride, channels - kColumns, sums);
}

}  // namespace qtool::QTOOL_ISA
