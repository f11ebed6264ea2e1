// Arrays from Python, and what is demanded of them before a kernel sees a pointer.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>

#include "plan.h"

namespace qtool {

namespace nb = nanobind;

template <class T>
using Array = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::c_contig, nb::device::cpu>;

// Greatest extent of anything; products of three still fit size_t.
constexpr size_t kMaxExtent = size_t{1} << 20;
constexpr size_t kMaxKernel = size_t{1} << 12;

inline void require(bool condition, const char* message) {
  if (!condition) throw nb::value_error(message);
}

template <class T>
inline void require_length(const Array<T>& array, size_t length, const char* message) {
  require(array.ndim() == 1 && array.size() == length, message);
}

// Codes of 8 or of 16 bits.
using Codes = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

inline size_t bytes_of(const Codes& codes) {
  const bool known = codes.dtype() == nb::dtype<uint8_t>() || codes.dtype() == nb::dtype<uint16_t>();
  require(known, "codes: expected uint8 or uint16");
  return codes.itemsize();
}

// What an epilogue writes.
inline nb::dlpack::dtype type_of(const Epilogue& e) {
  if (e.rule == Rule::kReal) return nb::dtype<float>();
  if (e.rule == Rule::kSum) return nb::dtype<int32_t>();
  return e.element == 1 ? nb::dtype<uint8_t>() : nb::dtype<uint16_t>();
}

// The memory of an output of `rank` axes.
inline void* output(const Output& out, size_t rank, nb::dlpack::dtype type = nb::dtype<uint8_t>()) {
  require(out.ndim() == rank, "output: wrong number of axes");
  require(out.dtype() == type, "output: not of the type that the layer writes");
  return out.data();
}

}  // namespace qtool
