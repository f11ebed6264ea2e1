// Arrays from Python, and what is demanded of them before a kernel sees a pointer.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>

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

// The memory of an output of float32 or of codes, of `rank` axes.
inline void* output(const Output& out, size_t rank, bool real) {
  require(out.ndim() == rank, "output: wrong number of axes");
  const nb::dlpack::dtype wanted = real ? nb::dtype<float>() : nb::dtype<uint8_t>();
  require(out.dtype() == wanted, real ? "output: expected float32" : "output: expected uint8");
  return out.data();
}

}  // namespace qtool
