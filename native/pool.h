// Threads that help with the chunks of one job at a time.
//
// A job ends when its chunks are done, not when every thread has woken up: on a busy machine the caller does all of
// them before a helper gets a core. Helpers spin for a while after a job, because the next one is usually near.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace qtool {

class Pool {
 public:
  using Work = void (*)(void* context, int64_t chunk, int worker);

  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls work(context, chunk, worker) once for every chunk 0..chunks-1; worker is below threads(). Not reentrant.
  void run(int64_t chunks, Work work, void* context);

 private:
  void help(int worker);
  bool take_one(int worker);
  void sleep();

  // Written before remaining_ and read after a chunk was taken from it: a taken chunk keeps the job alive.
  Work work_ = nullptr;
  void* context_ = nullptr;
  std::atomic<int64_t> remaining_{0};
  std::atomic<int64_t> done_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> helpers_;
};

}  // namespace qtool
