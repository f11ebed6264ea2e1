// Runs kernels on the threads of a pool; every call cuts its work into chunks, with the same bits for any cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "plan.h"
#include "pool.h"

namespace qtool {

class Executor {
 public:
  Executor(const Kernels& kernels, int threads) : kernels_(kernels), pool_(threads) {}

  const Kernels& kernels() const { return kernels_; }
  int threads() const { return pool_.threads(); }

  // Rows (m, groups x k) to (m, groups x n), `out_stride` elements from row to row.
  void gemm(const Gemm& g, const uint8_t* x, size_t m, void* out, size_t out_stride);
  // Images (batch, depth, height, width, channels) to (batch, extents of the output, groups x n).
  void conv(const Gemm& g, const Window& w, const uint8_t* x, size_t batch, void* out);
  void depthwise(const Depthwise& d, const Window& w, const uint8_t* x, size_t batch, void* out);
  void max_pool(const Window& w, const void* x, size_t element, size_t batch, void* out);
  void average_pool(const AveragePool& p, const Window& w, const void* x, size_t element, size_t batch, void* out);
  void combine(const Combination& c, const int32_t* const* parts, size_t rows, void* out);
  void sum(const Sum& s, const Operands& o, size_t rows);
  void product(const Product& p, const Operands& o, size_t rows);
  // Product i is of the matrices left[i] and right[i] of the operands.
  void matmul(const MatMul& p, const Pairing& pairs, const uint8_t* left, const uint8_t* right, void* out);
  void softmax(const Softmax& s, const Mask& mask, const void* x, size_t element, size_t rows, void* out,
               size_t out_element);
  void layer_norm(const LayerNorm& n, const void* x, size_t element, size_t rows, void* out);
  void copy(const uint8_t* x, size_t x_stride, size_t columns, const uint8_t* table, uint8_t* out, size_t out_stride,
            size_t rows);
  // Sums (steps, rows, gates x hidden) of the input to outputs (steps, rows, hidden), from the last step if `reverse`.
  void recurrent(const Recurrent& r, const int32_t* sums, size_t steps, size_t rows, bool reverse, void* out);

 private:
  void multiply(const Gemm& g, const Rows& source, size_t m, void* out, size_t out_stride);
  // Calls body(begin, end, scratch) for ranges that cover 0..total.
  template <class Body>
  void in_ranges(size_t total, size_t work, size_t scratch_bytes, Body body);
  uint8_t* scratch(size_t bytes, int threads);

  const Kernels& kernels_;
  Pool pool_;
  std::mutex mutex_;
  std::unique_ptr<uint8_t[]> memory_;
  size_t memory_bytes_ = 0;
};

}  // namespace qtool
