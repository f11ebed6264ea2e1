#include "executor.h"

#include <algorithm>
#include <vector>

namespace qtool {
namespace {

constexpr size_t kAlign = 64;
// Bytes touched or products below which a second thread costs more than it brings.
constexpr size_t kSmallWork = size_t{1} << 18;
constexpr size_t kChunksPerThread = 4;
constexpr size_t kLeastRows = 48;
// An element of a softmax, a normalization or a gate in bytes that a copy would touch.
constexpr size_t kRowWork = 8;
constexpr size_t kLeastBlocks = 4;

size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// How one matrix product is cut.
struct Cut {
  size_t rows, blocks, row_chunks, block_chunks;
};

Cut cut(const Gemm& g, size_t m, size_t threads) {
  const size_t blocks = g.column_blocks();
  if (threads == 1 || m * g.n * g.k < kSmallWork) return {m, blocks, 1, 1};
  const size_t parts = threads * kChunksPerThread;
  if (m >= 2 * threads * kLeastRows) {
    const size_t rows = std::max(kLeastRows, ceil_div(m, parts));
    return {rows, blocks, ceil_div(m, rows), 1};
  }
  const size_t columns = round_up(std::max(kLeastBlocks, ceil_div(blocks, parts)), kLeastBlocks);
  return {m, columns, 1, ceil_div(blocks, columns)};
}

template <class Body>
void call(void* body, int64_t chunk, int worker) {
  (*static_cast<Body*>(body))(static_cast<size_t>(chunk), static_cast<size_t>(worker));
}

}  // namespace

uint8_t* Executor::scratch(size_t bytes, int threads) {
  const size_t needed = bytes * static_cast<size_t>(threads) + kAlign;
  if (needed > memory_bytes_) {
    memory_ = std::make_unique<uint8_t[]>(needed);
    memory_bytes_ = needed;
  }
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory_.get());
  return memory_.get() + (round_up(address, kAlign) - address);
}

template <class Body>
void Executor::in_ranges(size_t total, size_t work, size_t scratch_bytes, Body body) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t stride = round_up(scratch_bytes, kAlign);
  uint8_t* memory = scratch(stride, threads());
  const size_t parts = work < kSmallWork ? 1 : static_cast<size_t>(threads()) * kChunksPerThread;
  const size_t step = std::max<size_t>(1, ceil_div(total, threads() == 1 ? 1 : parts));
  auto chunk = [&](size_t index, size_t worker) {
    body(index * step, std::min(total, (index + 1) * step), memory + worker * stride);
  };
  pool_.run(static_cast<int64_t>(ceil_div(total, step)), call<decltype(chunk)>, &chunk);
}

void Executor::multiply(const Gemm& g, const Rows& source, size_t m, void* out, size_t out_stride) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Cut parts = cut(g, m, static_cast<size_t>(threads()));
  const size_t stride = round_up(kernels_.gemm_scratch(g, parts.rows), kAlign);
  uint8_t* memory = scratch(stride, threads());
  const size_t in_group = parts.row_chunks * parts.block_chunks;
  auto chunk = [&](size_t index, size_t worker) {
    const size_t group = index / in_group, row = index % in_group / parts.block_chunks * parts.rows;
    const size_t block = index % parts.block_chunks * parts.blocks;
    Rows rows = source;
    rows.first_channel = group * source.channels;
    const Region region{row, std::min(m, row + parts.rows), block, std::min(g.column_blocks(), block + parts.blocks)};
    kernels_.gemm(g, group, rows, region, memory + worker * stride, out, out_stride);
  };
  pool_.run(static_cast<int64_t>(g.groups * in_group), call<decltype(chunk)>, &chunk);
}

void Executor::gemm(const Gemm& g, const uint8_t* x, size_t m, void* out, size_t out_stride) {
  multiply(g, Rows{x, g.groups * g.k, nullptr, 0, g.k}, m, out, out_stride);
}

void Executor::conv(const Gemm& g, const Window& w, const uint8_t* x, size_t batch, void* out) {
  const size_t m = batch * w.out.count();
  const Extents &by = w.strides, &pads = w.pads;
  const bool single = w.taps() == 1 && by.count() == 1 && pads.d + pads.h + pads.w == 0;
  const bool point = single && w.out.d == w.image.d && w.out.h == w.image.h && w.out.w == w.image.w;
  if (point) return gemm(g, x, m, out, g.groups * g.n);
  multiply(g, Rows{x, 0, &w, 0, w.channels / g.groups}, m, out, g.groups * g.n);
}

void Executor::depthwise(const Depthwise& d, const Window& w, const uint8_t* x, size_t batch, void* out) {
  const size_t pixels = batch * w.out.count();
  in_ranges(pixels, pixels * w.channels * w.taps(), kernels_.depthwise_scratch(w),
            [&](size_t begin, size_t end, void* memory) { kernels_.depthwise(d, w, x, begin, end, memory, out); });
}

void Executor::max_pool(const Window& w, const void* x, size_t element, size_t batch, void* out) {
  const size_t pixels = batch * w.out.count();
  in_ranges(pixels, pixels * w.channels * w.taps(), 0,
            [&](size_t begin, size_t end, void*) { kernels_.max_pool(w, x, element, begin, end, out); });
}

void Executor::average_pool(const AveragePool& p, const Window& w, const void* x, size_t element, size_t batch,
                            void* out) {
  const size_t pixels = batch * w.out.count();
  in_ranges(pixels, pixels * w.channels * w.taps(), (w.channels + kSlack) * sizeof(int32_t),
            [&](size_t begin, size_t end, void* memory) {
              kernels_.average_pool(p, w, x, element, begin, end, memory, out);
            });
}

void Executor::combine(const Combination& c, const int32_t* const* parts, size_t rows, void* out) {
  const size_t channels = c.epilogue->channels;
  in_ranges(rows, rows * channels * c.parts * sizeof(int32_t), channels * sizeof(double),
            [&](size_t begin, size_t end, void* memory) { kernels_.combine(c, parts, begin, end, memory, out); });
}

void Executor::sum(const Sum& s, const Operands& o, size_t rows) {
  in_ranges(rows, rows * o.columns, 0, [&](size_t begin, size_t end, void*) { kernels_.sum(s, o, begin, end); });
}

void Executor::product(const Product& p, const Operands& o, size_t rows) {
  in_ranges(rows, rows * o.columns, 0, [&](size_t begin, size_t end, void*) { kernels_.product(p, o, begin, end); });
}

void Executor::matmul(const MatMul& p, const Pairing& pairs, const uint8_t* left, const uint8_t* right, void* out) {
  // A strip of rows packs its right matrix again, so that there are only as many as threads need.
  const size_t parts = threads() == 1 ? 1 : static_cast<size_t>(threads()) * kChunksPerThread;
  const size_t height = std::min(p.m, std::max(kLeastRows, ceil_div(p.m, parts))), strips = ceil_div(p.m, height);
  const auto body = [&](size_t begin, size_t end, void* memory) {
    for (size_t unit = begin; unit < end; ++unit) {
      const size_t pair = unit / strips, row = unit % strips * height;
      uint8_t* to = static_cast<uint8_t*>(out) + pair * p.m * p.n * p.epilogue->element;
      kernels_.matmul(p, left + static_cast<size_t>(pairs.left[pair]) * p.m * p.k,
                      right + static_cast<size_t>(pairs.right[pair]) * p.k * p.n, row, std::min(p.m, row + height),
                      memory, to);
    }
  };
  in_ranges(pairs.count * strips, pairs.count * p.m * p.n * p.k, kernels_.matmul_scratch(p, height), body);
}

void Executor::softmax(const Softmax& s, const Mask& mask, const void* x, size_t element, size_t rows, void* out,
                       size_t out_element) {
  in_ranges(rows, rows * s.length * kRowWork, s.length * sizeof(int32_t), [&](size_t begin, size_t end, void* memory) {
    kernels_.softmax(s, mask, x, element, begin, end, memory, out, out_element);
  });
}

void Executor::layer_norm(const LayerNorm& n, const void* x, size_t element, size_t rows, void* out) {
  in_ranges(rows, rows * n.length * kRowWork, n.length * sizeof(double), [&](size_t begin, size_t end, void* memory) {
    kernels_.layer_norm(n, x, element, begin, end, memory, out);
  });
}

void Executor::copy(const uint8_t* x, size_t x_stride, size_t columns, const uint8_t* table, uint8_t* out,
                    size_t out_stride, size_t rows) {
  in_ranges(rows, rows * columns, 0, [&](size_t begin, size_t end, void*) {
    kernels_.copy(x, x_stride, columns, table, out, out_stride, begin, end);
  });
}

void Executor::recurrent(const Recurrent& r, const int32_t* sums, size_t steps, size_t rows, bool reverse, void* out) {
  const size_t values = rows * r.hidden, width = r.gates * r.hidden, work = rows * width * kRowWork;
  std::vector<int32_t> products(rows * width), state(values), held(values);
  std::vector<uint8_t> codes(values, kStateZero);
  for (size_t i = 0; i < steps; ++i) {
    const size_t step = reverse ? steps - 1 - i : i;
    uint8_t* to = static_cast<uint8_t*>(out) + step * values * r.epilogue->element;
    const Moment now{sums + step * rows * width, products.data(), state.data(), held.data(), codes.data(), to};
    gemm(*r.product, codes.data(), rows, products.data(), width);
    if (r.last != nullptr) {
      in_ranges(rows, work, 0, [&](size_t begin, size_t end, void*) { kernels_.reset(r, now, begin, end); });
      gemm(*r.last, codes.data(), rows, products.data() + r.product->n, width);
    }
    in_ranges(rows, work, 0, [&](size_t begin, size_t end, void*) { kernels_.step(r, now, begin, end); });
  }
}

}  // namespace qtool
