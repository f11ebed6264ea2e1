// 64 bytes in a register of AVX-512.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qtool::QTOOL_ISA {

struct Lanes {
  static constexpr size_t kBytes = 64;
  __m512i bits;

  static Lanes load(const uint8_t* from) { return {_mm512_loadu_si512(from)}; }

  // The same four bytes everywhere.
  static Lanes four(const uint8_t* from) {
    int32_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    return {_mm512_set1_epi32(bytes)};
  }

  void store(uint8_t* to) const { _mm512_storeu_si512(to, bits); }

  static Lanes zero() { return {_mm512_setzero_si512()}; }

  // Bits that cross into a neighbour are the caller's to mask.
  template <int kLeft>
  Lanes shifted() const {
    if constexpr (kLeft > 0) return {_mm512_slli_epi16(bits, kLeft)};
    if constexpr (kLeft < 0) return {_mm512_srli_epi16(bits, -kLeft)};
    return *this;
  }

  Lanes masked(uint8_t mask) const { return {_mm512_and_si512(bits, _mm512_set1_epi8(static_cast<char>(mask)))}; }

  Lanes merged(const Lanes& other) const { return {_mm512_or_si512(bits, other.bits)}; }

  Lanes less(uint8_t value) const { return {_mm512_sub_epi8(bits, _mm512_set1_epi8(static_cast<char>(value)))}; }
};

}  // namespace qtool::QTOOL_ISA
