// Pools over images whose channels come last, one output pixel after the other. Needs finish_plain().
#pragma once

#include <cstring>

#include "gather.h"

namespace qtool::QTOOL_ISA {

// Calls visit(codes of the channels) for every tap that lies inside of the image.
template <class Code, class Visit>
inline void visit_taps(const Window& w, const Place& at, const Code* x, Visit visit) {
  const Code* image = x + at.image * w.image_elements();
  for (size_t tap_z = 0; tap_z < w.kernel.d; ++tap_z) {
    for (size_t tap_y = 0; tap_y < w.kernel.h; ++tap_y) {
      const size_t line = line_at(w, at, tap_z, tap_y);
      for (size_t tap_x = 0; line != SIZE_MAX && tap_x < w.kernel.w; ++tap_x) {
        const size_t left = tap_at(at.x, w.strides.w, tap_x, w.dilations.w, w.pads.w);
        if (left < w.image.w) visit(image + (line * w.image.w + left) * w.channels);
      }
    }
  }
}

template <class Code>
inline void raise_to(Code* __restrict to, const Code* __restrict from, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = to[i] < from[i] ? from[i] : to[i];
}

template <class Code>
inline void max_pixels(const Window& w, const Code* x, size_t begin, size_t end, Code* out) {
  const size_t channels = w.channels;
  for (size_t pixel = begin; pixel < end; ++pixel) {
    Code* to = out + pixel * channels;
    memset(to, 0, channels * sizeof(Code));
    visit_taps(w, place_of(w, pixel), x, [=](const Code* from) { raise_to(to, from, channels); });
  }
}

inline void max_pool(const Window& w, const void* x, size_t element, size_t begin, size_t end, void* out) {
  if (element == 1) return max_pixels(w, static_cast<const uint8_t*>(x), begin, end, static_cast<uint8_t*>(out));
  max_pixels(w, static_cast<const uint16_t*>(x), begin, end, static_cast<uint16_t*>(out));
}

// Number of taps of one axis inside of the image or, with `end` padding behind it, inside of the padded image.
inline size_t taps_inside(size_t out, size_t stride, size_t kernel, size_t dilation, size_t pad, size_t extent) {
  size_t count = 0;
  for (size_t tap = 0; tap < kernel; ++tap) count += tap_at(out, stride, tap, dilation, pad) < extent;
  return count;
}

inline size_t averaged(const AveragePool& p, const Window& w, const Place& at) {
  Extents pads = w.pads, ends = w.image;
  if (p.padding_counts) {
    ends = {ends.d + pads.d + p.end_pads.d, ends.h + pads.h + p.end_pads.h, ends.w + pads.w + p.end_pads.w};
    pads = {0, 0, 0};
  }
  return taps_inside(at.z, w.strides.d, w.kernel.d, w.dilations.d, pads.d, ends.d) *
         taps_inside(at.y, w.strides.h, w.kernel.h, w.dilations.h, pads.h, ends.h) *
         taps_inside(at.x, w.strides.w, w.kernel.w, w.dilations.w, pads.w, ends.w);
}

// Whether there is an epilogue for every window.
inline bool counts_known(const AveragePool& p, const Window& w) {
  for (size_t pixel = 0; pixel < w.out.count(); ++pixel) {
    if (p.by_count[averaged(p, w, place_of(w, pixel))] == nullptr) return false;
  }
  return true;
}

template <class Code>
inline void average_pixels(const AveragePool& p, const Window& w, const Code* x, size_t begin, size_t end,
                           int32_t* sums, void* out) {
  for (size_t pixel = begin; pixel < end; ++pixel) {
    const Place at = place_of(w, pixel);
    uint32_t visited = 0;
    for (size_t i = 0; i < w.channels; ++i) sums[i] = 0;
    visit_taps(w, at, x, [&](const Code* from) {
      ++visited;
      // Sums before their zero points are taken off may wrap.
      for (size_t i = 0; i < w.channels; ++i) sums[i] = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) + from[i]);
    });
    const uint32_t zeros = visited * static_cast<uint32_t>(p.zero_point);
    for (size_t i = 0; i < w.channels; ++i) sums[i] = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) - zeros);
    const Epilogue& e = *p.by_count[averaged(p, w, at)];
    for (size_t i = 0; i < w.channels; i += e.channels) {
      const size_t count = w.channels - i < e.channels ? w.channels - i : e.channels;
      uint8_t* to = static_cast<uint8_t*>(out) + (pixel * w.channels + i) * e.element;
      finish_plain(e, 0, sums + i, count, to);
    }
  }
}

// Scratch: channels + kSlack sums.
inline void average_pool(const AveragePool& p, const Window& w, const void* x, size_t element, size_t begin,
                         size_t end, void* scratch, void* out) {
  int32_t* sums = static_cast<int32_t*>(scratch);
  if (element == 1) return average_pixels(p, w, static_cast<const uint8_t*>(x), begin, end, sums, out);
  average_pixels(p, w, static_cast<const uint16_t*>(x), begin, end, sums, out);
}

}  // namespace qtool::QTOOL_ISA
