// 32 bytes in a register of AVX2.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qtool::QTOOL_ISA {

struct Lanes {
  static constexpr size_t kBytes = 32;
  __m256i bits;

  static Lanes load(const uint8_t* from) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))}; }

  // The same four bytes everywhere.
  static Lanes four(const uint8_t* from) {
    int32_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    return {_mm256_set1_epi32(bytes)};
  }

  void store(uint8_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits); }

  static Lanes zero() { return {_mm256_setzero_si256()}; }

  // Bits that cross into a neighbour are the caller's to mask.
  template <int kLeft>
  Lanes shifted() const {
    if constexpr (kLeft > 0) return {_mm256_slli_epi16(bits, kLeft)};
    if constexpr (kLeft < 0) return {_mm256_srli_epi16(bits, -kLeft)};
    return *this;
  }

  Lanes masked(uint8_t mask) const { return {_mm256_and_si256(bits, _mm256_set1_epi8(static_cast<char>(mask)))}; }

  Lanes merged(const Lanes& other) const { return {_mm256_or_si256(bits, other.bits)}; }

  Lanes less(uint8_t value) const { return {_mm256_sub_epi8(bits, _mm256_set1_epi8(static_cast<char>(value)))}; }
};

}  // namespace qtool::QTOOL_ISA
