#include "pool.h"

#ifdef QTOOL_X86
#include <immintrin.h>
#endif

namespace qtool {
namespace {

// About 50 microseconds.
constexpr int kSpins = 1 << 11;

void relax() {
#ifdef QTOOL_X86
  _mm_pause();
#endif
}

}  // namespace

Pool::Pool(int threads) {
  for (int worker = 1; worker < threads; ++worker) helpers_.emplace_back([this, worker] { help(worker); });
}

Pool::~Pool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Pool::run(int64_t chunks, Work work, void* context) {
  if (helpers_.empty() || chunks <= 1) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) work(context, chunk, 0);
    return;
  }
  work_ = work;
  context_ = context;
  done_ = 0;
  remaining_ = chunks;
  if (sleeping_ > 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  while (take_one(0)) {
  }
  for (int spins = 0; done_ < chunks; ++spins) {
    if (spins < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

bool Pool::take_one(int worker) {
  int64_t remaining = remaining_;
  while (remaining > 0) {
    if (remaining_.compare_exchange_weak(remaining, remaining - 1)) {
      work_(context_, remaining - 1, worker);
      ++done_;
      return true;
    }
  }
  return false;
}

void Pool::help(int worker) {
  while (!stop_) {
    for (int spins = 0; spins < kSpins && !stop_; ++spins) {
      if (take_one(worker)) {
        spins = 0;
      } else {
        relax();
      }
    }
    sleep();
  }
}

void Pool::sleep() {
  std::unique_lock<std::mutex> lock(mutex_);
  ++sleeping_;
  wake_.wait(lock, [this] { return remaining_ > 0 || stop_; });
  --sleeping_;
}

}  // namespace qtool
