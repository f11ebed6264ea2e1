// Calls of the executor: shapes are checked here, then the interpreter lock is let go.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <tuple>

#include "dispatch.h"
#include "executor.h"
#include "layers.h"

namespace qtool {
namespace {

using Pair = std::tuple<size_t, size_t>;
using Triple = std::tuple<size_t, size_t, size_t>;
constexpr int kMaxThreads = 256;

Extents extents(Triple values) { return {std::get<0>(values), std::get<1>(values), std::get<2>(values)}; }

void require_pads(const Extents& pads) {
  require(pads.d <= kMaxKernel && pads.h <= kMaxKernel && pads.w <= kMaxKernel, "window: expected pads of 0..4096");
}

// Kernel, strides, dilations and leading pads of a window, all (depth, height, width).
struct WindowShape {
  Extents kernel, strides, dilations, pads;

  WindowShape(Triple kernel_, Triple strides_, Triple dilations_, Triple pads_)
      : kernel(extents(kernel_)), strides(extents(strides_)), dilations(extents(dilations_)), pads(extents(pads_)) {
    for (const Extents& each : {kernel, strides, dilations}) {
      for (const size_t extent : {each.d, each.h, each.w}) {
        require(extent >= 1 && extent <= kMaxKernel, "window: expected extents of 1..4096");
      }
    }
    require(kernel.count() <= kMaxExtent, "window: absurd extents");
    require_pads(pads);
  }

  template <class Images>
  Window over(const Images& x, const Output& out, uint8_t pad_value) const {
    require(x.ndim() == 5 && out.ndim() == 5, "window: expected (batch, depth, height, width, channels)");
    for (size_t axis = 0; axis < 5; ++axis) {
      require(x.shape(axis) <= kMaxExtent && out.shape(axis) <= kMaxExtent, "window: absurd extents");
      require(x.shape(axis) > 0 && out.shape(axis) > 0, "window: expected no empty axis");
    }
    require(x.shape(0) == out.shape(0), "window: the batch of the output differs");
    const Extents image{x.shape(1), x.shape(2), x.shape(3)}, windows{out.shape(1), out.shape(2), out.shape(3)};
    return {image, x.shape(4), kernel, strides, dilations, pads, windows, pad_value};
  }
};

std::unique_ptr<Executor> make_executor(const std::string& isa, int threads) {
  const Kernels* kernels = find_kernels(isa);
  require(kernels != nullptr, "instruction set: not in this build or not on this machine");
  require(threads >= 1 && threads <= kMaxThreads, "threads: expected 1..256");
  return std::make_unique<Executor>(*kernels, threads);
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const Kernels* kernels : supported()) found.emplace_back(kernels->name);
  return found;
}

void column_sums(const Executor& executor, const Array<uint8_t>& weights, int bits, size_t n, size_t k,
                 const Array<int32_t>& zero, nb::ndarray<int64_t, nb::c_contig, nb::device::cpu> sums,
                 nb::ndarray<int64_t, nb::c_contig, nb::device::cpu> magnitudes) {
  require(bits >= 1 && bits <= 8, "bits: expected 1..8");
  require(n > 0 && k > 0 && n <= kMaxExtent && k <= kMaxExtent, "gemm: absurd extents");
  require_length(weights, Gemm{nullptr, bits, 0, n, k, 1, {}, {}, nullptr}.group_bytes(),
                 "weights: not the bytes of such a matrix");
  require_length(zero, n, "zero: expected one value for each column");
  require(sums.ndim() == 1 && sums.size() == n && magnitudes.ndim() == 1 && magnitudes.size() == n,
          "sums: expected one place for each column");
  const nb::gil_scoped_release released;
  executor.kernels().column_sums(weights.data(), bits, n, k, zero.data(), sums.data(), magnitudes.data());
}

void gemm(Executor& executor, const GemmLayer& layer, const Array<uint8_t>& x, const Output& out) {
  const Gemm& g = layer.plan();
  require(x.ndim() == 2 && x.shape(1) == g.groups * g.k, "gemm: expected rows of groups x k codes");
  void* to = output(out, 2, type_of(*g.epilogue));
  require(out.shape(0) == x.shape(0) && out.shape(1) == g.groups * g.n, "gemm: expected rows of groups x n outputs");
  const nb::gil_scoped_release released;
  executor.gemm(g, x.data(), x.shape(0), to, g.groups * g.n);
}

void conv(Executor& executor, const GemmLayer& layer, const WindowShape& shape, int pad_value,
          const Array<uint8_t>& x, const Output& out) {
  const Gemm& g = layer.plan();
  void* to = output(out, 5, type_of(*g.epilogue));
  const Window w = shape.over(x, out, static_cast<uint8_t>(pad_value));
  require(w.channels % g.groups == 0 && w.taps() * (w.channels / g.groups) == g.k, "conv: taps x channels is not k");
  require(out.shape(4) == g.groups * g.n, "conv: wrong number of output channels");
  const nb::gil_scoped_release released;
  executor.conv(g, w, x.data(), x.shape(0), to);
}

void depthwise(Executor& executor, const DepthwiseLayer& layer, const WindowShape& shape, int pad_value,
               const Array<uint8_t>& x, const Output& out) {
  void* to = output(out, 5, type_of(*layer.plan().epilogue));
  const Window w = shape.over(x, out, static_cast<uint8_t>(pad_value));
  const size_t channels = layer.plan().epilogue->channels;
  require(w.taps() == layer.taps(), "depthwise: the window has other taps than the weights");
  require(w.channels == channels && out.shape(4) == channels, "depthwise: wrong number of channels");
  const nb::gil_scoped_release released;
  executor.depthwise(layer.plan(), w, x.data(), x.shape(0), to);
}

void max_pool(Executor& executor, const WindowShape& shape, const Codes& x, const Output& out) {
  const size_t element = bytes_of(x);
  void* to = output(out, 5, x.dtype());
  const Window w = shape.over(x, out, 0);
  require(out.shape(4) == w.channels, "pool: wrong number of channels");
  const nb::gil_scoped_release released;
  executor.max_pool(w, x.data(), element, x.shape(0), to);
}

// Epilogues for counts of averaged elements, from 0 on; None where a count cannot occur.
void average_pool(Executor& executor, const WindowShape& shape, const nb::list& by_count, bool padding_counts,
                  Triple end_pads, int zero_point, const Codes& x, const Output& out) {
  const size_t element = bytes_of(x);
  std::vector<const Epilogue*> epilogues;
  nb::dlpack::dtype type = nb::dtype<uint8_t>();
  for (const nb::handle item : by_count) {
    epilogues.push_back(item.is_none() ? nullptr : &nb::cast<const EpilogueLayer&>(item).plan());
    if (epilogues.back() != nullptr) type = type_of(*epilogues.back());
  }
  const Window w = shape.over(x, out, 0);
  require(epilogues.size() == w.taps() + 1, "pool: expected an entry for each count from 0 to all taps");
  for (const Epilogue* e : epilogues) {
    require(e == nullptr || type_of(*e) == type, "pool: epilogues of different kinds");
  }
  void* to = output(out, 5, type);
  require(out.shape(4) == w.channels, "pool: wrong number of channels");
  const AveragePool pool{epilogues.data(), padding_counts, extents(end_pads), zero_point};
  require_pads(pool.end_pads);
  require(executor.kernels().counts_known(pool, w), "pool: a window averages a number of elements that has no epilogue");
  const nb::gil_scoped_release released;
  executor.average_pool(pool, w, x.data(), element, x.shape(0), to);
}

// Rows of both operands; an operand of one row is repeated.
Operands operands(const Codes& a, const Codes& b, const Output& out, nb::dlpack::dtype type) {
  const size_t element = bytes_of(a);
  require(a.ndim() == 2 && b.ndim() == 2, "operands: expected (rows, columns)");
  require(a.dtype() == b.dtype(), "operands: expected codes of one type");
  void* to = output(out, 2, type);
  const size_t rows = out.shape(0), columns = out.shape(1);
  for (const Codes* operand : {&a, &b}) {
    require(operand->shape(1) == columns && (operand->shape(0) == rows || operand->shape(0) == 1),
            "operands: expected as many rows as the output, or one, and as many columns");
  }
  return {a.data(), b.data(), element, a.shape(0) == rows ? columns : 0, b.shape(0) == rows ? columns : 0, columns, to};
}

void sum(Executor& executor, const SumLayer& layer, const Codes& a, const Codes& b, const Output& out) {
  const Sum& plan = layer.plan();
  const auto codes = plan.element == 1 ? nb::dtype<uint8_t>() : nb::dtype<uint16_t>();
  const Operands o = operands(a, b, out, plan.rule == Rule::kReal ? nb::dtype<float>() : codes);
  const size_t rows = out.shape(0);
  const nb::gil_scoped_release released;
  executor.sum(plan, o, rows);
}

void product(Executor& executor, const EpilogueLayer& epilogue, int zero_a, int zero_b, const Codes& a, const Codes& b,
             const Output& out) {
  const Operands o = operands(a, b, out, type_of(epilogue.plan()));
  const size_t rows = out.shape(0);
  const Product plan{zero_a, zero_b, &epilogue.plan()};
  const int highest = o.element == 1 ? 255 : 65535;
  check_codes(zero_a, 0, highest, highest);
  check_codes(zero_b, 0, highest, highest);
  const nb::gil_scoped_release released;
  executor.product(plan, o, rows);
}

// Parts are sums (rows, channels).
void combine(Executor& executor, const CombinationLayer& layer, const std::vector<Array<int32_t>>& parts,
             const Output& out) {
  const Combination& plan = layer.plan();
  void* to = output(out, 2, type_of(*plan.epilogue));
  const size_t rows = out.shape(0), channels = plan.epilogue->channels;
  require(out.shape(1) == channels && parts.size() == plan.parts, "combine: not as many channels or parts");
  std::vector<const int32_t*> sums;
  for (const Array<int32_t>& part : parts) {
    require(part.ndim() == 2 && part.shape(0) == rows && part.shape(1) == channels, "combine: a part of another shape");
    sums.push_back(part.data());
  }
  const nb::gil_scoped_release released;
  executor.combine(plan, sums.data(), rows, to);
}

// Stacks of matrices (count, m, k) and (count, k, n); `pairs` (2, products) says which are multiplied.
void matmul(Executor& executor, const EpilogueLayer& epilogue, int left_max, Pair zeros, const Array<int32_t>& pairs,
            const Array<uint8_t>& a, const Array<uint8_t>& b, const Output& out) {
  void* to = output(out, 3, type_of(epilogue.plan()));
  require(a.ndim() == 3 && b.ndim() == 3 && a.size() > 0 && b.size() > 0, "matmul: expected stacks of matrices");
  const size_t m = a.shape(1), k = a.shape(2), n = b.shape(2), count = out.shape(0);
  require(m <= kMaxExtent && k <= kMaxExtent && n <= kMaxExtent, "matmul: absurd extents");
  require(b.shape(1) == k && out.shape(1) == m && out.shape(2) == n, "matmul: the extents do not fit");
  require(epilogue.plan().channels == n, "epilogue: made for another number of channels");
  require(left_max >= 1 && left_max <= 255 && std::get<0>(zeros) <= 255 && std::get<1>(zeros) <= 255,
          "codes must lie in 0..255");
  require(pairs.ndim() == 2 && pairs.shape(0) == 2 && pairs.shape(1) == count, "pairs: expected two for each product");
  const Pairing pairing{pairs.data(), pairs.data() + count, count};
  for (size_t i = 0; i < count; ++i) {
    require(pairing.left[i] >= 0 && static_cast<size_t>(pairing.left[i]) < a.shape(0), "pairs: no such left matrix");
    require(pairing.right[i] >= 0 && static_cast<size_t>(pairing.right[i]) < b.shape(0), "pairs: no such right matrix");
  }
  const int32_t zero_left = static_cast<int32_t>(std::get<0>(zeros)), zero_right = static_cast<int32_t>(std::get<1>(zeros));
  const MatMul plan{m, k, n, left_max, zero_left, zero_right, &epilogue.plan()};
  const nb::gil_scoped_release released;
  executor.matmul(plan, pairing, a.data(), b.data(), to);
}

// Copies rows into some columns of the output, through a table of 256 codes if there is one.
void copy(Executor& executor, const Array<uint8_t>& x, nb::object table, const Output& out, size_t column) {
  uint8_t* to = static_cast<uint8_t*>(output(out, 2));
  require(x.ndim() == 2 && x.shape(0) == out.shape(0), "copy: expected as many rows as the output");
  require(column <= out.shape(1) && x.shape(1) <= out.shape(1) - column, "copy: the columns do not fit the output");
  Array<uint8_t> codes;
  if (!table.is_none()) {
    codes = nb::cast<Array<uint8_t>>(table, false);
    require_length(codes, 256, "table: expected 256 codes");
  }
  const size_t rows = x.shape(0), columns = x.shape(1), stride = out.shape(1);
  const nb::gil_scoped_release released;
  executor.copy(x.data(), columns, columns, codes.is_valid() ? codes.data() : nullptr, to + column, stride, rows);
}

}  // namespace

void bind_calls(nb::module_& m) {
  using nb::arg;
  const auto x = arg("x").noconvert(), out = arg("out").noconvert();
  m.def("supported", names, "Instruction sets of this build that run on this machine, best first.");
  nb::class_<WindowShape>(m, "WindowShape")
      .def(nb::init<Triple, Triple, Triple, Triple>(), arg("kernel"), arg("strides"), arg("dilations"), arg("pads"));
  nb::class_<Executor> executor(m, "Executor");
  executor.def(nb::new_(&make_executor), arg("isa"), arg("threads"))
      .def_prop_ro("isa", [](const Executor& executor) { return executor.kernels().name; })
      .def_prop_ro("threads", &Executor::threads)
      .def("column_sums", column_sums, arg("weights").noconvert(), arg("bits"), arg("n"), arg("k"),
           arg("zero").noconvert(), arg("sums").noconvert(), arg("magnitudes").noconvert())
      .def("gemm", gemm, arg("layer"), x, out)
      .def("conv", conv, arg("layer"), arg("window"), arg("pad_value"), x, out)
      .def("depthwise", depthwise, arg("layer"), arg("window"), arg("pad_value"), x, out)
      .def("max_pool", max_pool, arg("window"), x, out)
      .def("average_pool", average_pool, arg("window"), arg("by_count"), arg("padding_counts"), arg("end_pads"),
           arg("zero_point"), x, out)
      .def("sum", sum, arg("layer"), arg("a").noconvert(), arg("b").noconvert(), out)
      .def("product", product, arg("epilogue"), arg("zero_a"), arg("zero_b"), arg("a").noconvert(),
           arg("b").noconvert(), out)
      .def("combine", combine, arg("layer"), arg("parts"), out)
      .def("matmul", matmul, arg("epilogue"), arg("left_max"), arg("zeros"), arg("pairs").noconvert(),
           arg("a").noconvert(), arg("b").noconvert(), out)
      .def("copy", copy, x, arg("table").none(), out, arg("column"));
  bind_row_calls(executor);
  bind_recurrent_calls(executor);
}

}  // namespace qtool
