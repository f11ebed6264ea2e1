// Pools over NHWC images, one output pixel after the other. Needs finish_plain().
#pragma once

#include <cstring>

#include "gather.h"

namespace qtool::QTOOL_ISA {

// Calls visit(bytes of the channels) for every tap that lies inside of the image.
template <class Visit>
inline void visit_taps(const Window& w, const Place& at, const uint8_t* x, Visit visit) {
  const uint8_t* image = x + at.image * w.image_bytes();
  for (size_t tap_y = 0; tap_y < w.kernel_h; ++tap_y) {
    const size_t y = tap_at(at.y, w.stride_h, tap_y, w.dilation_h, w.pad_top);
    for (size_t tap_x = 0; y < w.height && tap_x < w.kernel_w; ++tap_x) {
      const size_t left = tap_at(at.x, w.stride_w, tap_x, w.dilation_w, w.pad_left);
      if (left < w.width) visit(image + (y * w.width + left) * w.channels);
    }
  }
}

inline void raise_to(uint8_t* __restrict to, const uint8_t* __restrict from, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = to[i] < from[i] ? from[i] : to[i];
}

inline void max_pool(const Window& w, uint8_t lowest, const uint8_t* x, size_t begin, size_t end, uint8_t* out) {
  const size_t channels = w.channels;
  for (size_t pixel = begin; pixel < end; ++pixel) {
    uint8_t* to = out + pixel * channels;
    memset(to, lowest, channels);
    visit_taps(w, place_of(w, pixel), x, [=](const uint8_t* from) { raise_to(to, from, channels); });
  }
}

// Number of taps of one axis inside of the image or, with `end` padding behind it, inside of the padded image.
inline size_t taps_inside(size_t out, size_t stride, size_t kernel, size_t dilation, size_t pad, size_t extent) {
  size_t count = 0;
  for (size_t tap = 0; tap < kernel; ++tap) count += tap_at(out, stride, tap, dilation, pad) < extent;
  return count;
}

inline size_t averaged(const AveragePool& p, const Window& w, const Place& at) {
  if (p.padding_counts) {
    const size_t height = w.height + w.pad_top + p.pad_bottom, width = w.width + w.pad_left + p.pad_right;
    return taps_inside(at.y, w.stride_h, w.kernel_h, w.dilation_h, 0, height) *
           taps_inside(at.x, w.stride_w, w.kernel_w, w.dilation_w, 0, width);
  }
  return taps_inside(at.y, w.stride_h, w.kernel_h, w.dilation_h, w.pad_top, w.height) *
         taps_inside(at.x, w.stride_w, w.kernel_w, w.dilation_w, w.pad_left, w.width);
}

// Whether there is an epilogue for every window.
inline bool counts_known(const AveragePool& p, const Window& w) {
  for (size_t pixel = 0; pixel < w.out_h * w.out_w; ++pixel) {
    if (p.by_count[averaged(p, w, place_of(w, pixel))] == nullptr) return false;
  }
  return true;
}

// Scratch: channels + kSlack sums.
inline void average_pool(const AveragePool& p, const Window& w, const uint8_t* x, size_t begin, size_t end,
                         void* scratch, void* out) {
  int32_t* sums = static_cast<int32_t*>(scratch);
  for (size_t pixel = begin; pixel < end; ++pixel) {
    const Place at = place_of(w, pixel);
    int32_t visited = 0;
    for (size_t i = 0; i < w.channels; ++i) sums[i] = 0;
    visit_taps(w, at, x, [&](const uint8_t* from) {
      ++visited;
      for (size_t i = 0; i < w.channels; ++i) sums[i] += from[i];
    });
    for (size_t i = 0; i < w.channels; ++i) sums[i] -= visited * p.zero_point;
    const Epilogue& e = *p.by_count[averaged(p, w, at)];
    for (size_t i = 0; i < w.channels; i += e.channels) {
      const size_t count = w.channels - i < e.channels ? w.channels - i : e.channels;
      uint8_t* to = static_cast<uint8_t*>(out) + (pixel * w.channels + i) * e.element;
      finish_plain(e, 0, sums + i, count, to);
    }
  }
}

}  // namespace qtool::QTOOL_ISA
