// Rows of the left matrix: copied from memory, or collected under a window (im2col).
#pragma once

#include <cstring>

#include "plan.h"

namespace qtool::QTOOL_ISA {

struct Place {
  size_t image, z, y, x;
};

inline Place place_of(const Window& w, size_t index) {
  const size_t line = index / w.out.w, plane = line / w.out.h, image = plane / w.out.d;
  return {image, plane - image * w.out.d, line - plane * w.out.h, index - line * w.out.w};
}

// Position of a tap on one axis; values of the extent and above mean padding, those below 0 included.
inline size_t tap_at(size_t out, size_t stride, size_t tap, size_t dilation, size_t pad) {
  return out * stride + tap * dilation - pad;
}

// Line of the image under a line of taps, or what is no line where that is padding.
inline size_t line_at(const Window& w, const Place& at, size_t tap_z, size_t tap_y) {
  const size_t z = tap_at(at.z, w.strides.d, tap_z, w.dilations.d, w.pads.d);
  const size_t y = tap_at(at.y, w.strides.h, tap_y, w.dilations.h, w.pads.h);
  return z < w.image.d && y < w.image.h ? z * w.image.h + y : SIZE_MAX;
}

// One row of taps, channels of a group each, tap by tap.
inline void gather_taps(const Window& w, const uint8_t* line, size_t out_x, size_t first, size_t channels,
                        uint8_t* to) {
  for (size_t tap = 0; tap < w.kernel.w; ++tap, to += channels) {
    const size_t x = tap_at(out_x, w.strides.w, tap, w.dilations.w, w.pads.w);
    if (x < w.image.w) {
      memcpy(to, line + x * w.channels + first, channels);
    } else {
      memset(to, w.pad_value, channels);
    }
  }
}

inline void gather_window(const Rows& rows, size_t index, uint8_t* to) {
  const Window& w = *rows.window;
  const Place at = place_of(w, index);
  const size_t run = w.kernel.w * rows.channels;
  const size_t left = tap_at(at.x, w.strides.w, 0, 1, w.pads.w);
  // Taps beside each other are bytes beside each other, unless a group or a dilation lies between them.
  const bool whole = w.dilations.w == 1 && rows.channels == w.channels && left < w.image.w &&
                     w.kernel.w <= w.image.w - left;
  const uint8_t* image = rows.data + at.image * w.image_elements();
  for (size_t tap_z = 0; tap_z < w.kernel.d; ++tap_z) {
    for (size_t tap_y = 0; tap_y < w.kernel.h; ++tap_y, to += run) {
      const size_t line = line_at(w, at, tap_z, tap_y);
      if (line == SIZE_MAX) {
        memset(to, w.pad_value, run);
      } else if (whole) {
        memcpy(to, image + (line * w.image.w + left) * w.channels, run);
      } else {
        gather_taps(w, image + line * w.image.w * w.channels, at.x, rows.first_channel, rows.channels, to);
      }
    }
  }
}

// Writes k bytes of a row and zeros up to `padded`.
inline void gather_row(const Rows& rows, size_t index, size_t k, size_t padded, uint8_t* to) {
  if (rows.window != nullptr) {
    gather_window(rows, index, to);
  } else {
    memcpy(to, rows.data + index * rows.stride + rows.first_channel, k);
  }
  memset(to + k, 0, padded - k);
}

inline int32_t byte_sum(const uint8_t* from, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += from[i];
  return static_cast<int32_t>(sum);
}

}  // namespace qtool::QTOOL_ISA
