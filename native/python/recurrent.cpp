// Recurrent layers and their call.
#include <nanobind/stl/string.h>

#include "executor.h"
#include "layers.h"

namespace qtool {
namespace {

constexpr size_t kTableLength = 513;
constexpr int32_t kTableOne = 1 << 20;
constexpr int64_t kMaxBias = INT32_MAX;
constexpr int kMaxLevels = 127;

struct Named {
  const char* name;
  Cell cell;
  size_t gates;
};

constexpr Named kCells[] = {{"rnn", Cell::kRnn, 1},
                            {"lstm", Cell::kLstm, 4},
                            {"gru_after", Cell::kGruAfter, 3},
                            {"gru_before", Cell::kGruBefore, 3}};

const Named& cell_named(const std::string& name) {
  for (const Named& each : kCells) {
    if (name == each.name) return each;
  }
  throw nb::value_error("cell: expected rnn, lstm, gru_after or gru_before");
}

// A product of codes of the state with some of the gates, written as it is.
void require_product(const Gemm& g, size_t outputs, size_t hidden) {
  require(g.groups == 1 && g.k == hidden && g.n == outputs, "product: expected the states times their gates");
  require(g.epilogue->rule == Rule::kSum, "product: expected one that writes sums");
}

void recurrent(Executor& executor, const RecurrentLayer& layer, const Array<int32_t>& sums, bool reverse,
               const Output& out) {
  const Recurrent& plan = layer.plan();
  void* to = output(out, 3, type_of(*plan.epilogue));
  require(sums.ndim() == 3 && sums.shape(2) == plan.gates * plan.hidden, "recurrent: expected (steps, rows, gates) sums");
  require(out.shape(0) == sums.shape(0) && out.shape(1) == sums.shape(1) && out.shape(2) == plan.hidden,
          "recurrent: expected an output of (steps, rows, hidden)");
  const size_t steps = sums.shape(0), rows = sums.shape(1);
  require(steps > 0 && rows > 0 && steps <= kMaxExtent && rows <= kMaxExtent, "recurrent: absurd extents");
  const nb::gil_scoped_release released;
  executor.recurrent(plan, sums.data(), steps, rows, reverse, to);
}

}  // namespace

RescaleLayer::RescaleLayer(Array<int32_t> multiplier, Array<int32_t> shift, Array<int64_t> bias)
    : multiplier_(multiplier.data(), multiplier.data() + multiplier.size()),
      shift_(shift.data(), shift.data() + shift.size()),
      bias_(bias.data(), bias.data() + bias.size()) {
  const size_t outputs = multiplier_.size();
  require_length(multiplier, outputs, "multiplier: expected one axis");
  require_length(shift, outputs, "shift: expected one for each output");
  require_length(bias, outputs, "bias: expected one for each output");
  for (size_t i = 0; i < outputs; ++i) {
    require(multiplier_[i] >= 0 && shift_[i] >= 0 && shift_[i] <= 62, "multiplier or shift: out of range");
    require(bias_[i] >= -kMaxBias && bias_[i] <= kMaxBias, "bias: expected 31 bits");
  }
}

RecurrentLayer::RecurrentLayer(const std::string& cell, const RescaleLayer& input, const RescaleLayer& state,
                               Array<int32_t> table, int levels, const EpilogueLayer& epilogue,
                               const GemmLayer& product, const GemmLayer* last)
    : table_(table.data(), table.data() + table.size()) {
  const Named& named = cell_named(cell);
  const size_t hidden = epilogue.plan().channels, outputs = named.gates * hidden;
  require(hidden <= kMaxExtent && input.outputs() == outputs && state.outputs() == outputs,
          "recurrent: expected values for all gates of every channel of the epilogue");
  require_length(table, kTableLength, "table: expected 513 entries");
  for (size_t i = 0; i < kTableLength; ++i) {
    require(table_[i] >= (i == 0 ? kTableOne / 2 : table_[i - 1]) && table_[i] <= kTableOne, "table: expected a rise");
  }
  require(levels >= 1 && levels <= kMaxLevels, "levels: expected 1..127");
  const bool apart = named.cell == Cell::kGruBefore;
  require(apart == (last != nullptr), "last: expected a product of its own where the reset gate comes before it");
  require_product(product.plan(), apart ? 2 * hidden : outputs, hidden);
  if (apart) require_product(last->plan(), hidden, hidden);
  require(epilogue.plan().rule != Rule::kSum, "epilogue: expected one that writes codes or real numbers");
  plan_ = {named.cell, named.gates, hidden, input.plan(), state.plan(), table_.data(), levels, &product.plan(),
           apart ? &last->plan() : nullptr, &epilogue.plan()};
}

void bind_recurrent(nb::module_& m) {
  using nb::arg;
  nb::class_<RescaleLayer>(m, "Rescale")
      .def(nb::init<Array<int32_t>, Array<int32_t>, Array<int64_t>>(), arg("multiplier").noconvert(),
           arg("shift").noconvert(), arg("bias").noconvert());
  nb::class_<RecurrentLayer>(m, "Recurrent")
      .def(nb::init<const std::string&, const RescaleLayer&, const RescaleLayer&, Array<int32_t>, int,
                    const EpilogueLayer&, const GemmLayer&, const GemmLayer*>(),
           arg("cell"), arg("input"), arg("state"), arg("table").noconvert(), arg("levels"), arg("epilogue"),
           arg("product"), arg("last").none(), nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>(),
           nb::keep_alive<1, 7>(), nb::keep_alive<1, 8>(), nb::keep_alive<1, 9>());
}

void bind_recurrent_calls(nb::class_<Executor>& executor) {
  using nb::arg;
  executor.def("recurrent", recurrent, arg("layer"), arg("sums").noconvert(), arg("reverse"),
               arg("out").noconvert());
}

}  // namespace qtool
