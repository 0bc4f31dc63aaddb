// Calls a Stream back in a thread that dies at its first system call, and counts what it allocates and locks.
//
// MODEL.onnx [wrong]: with `wrong` the thread allocates and locks on purpose. glibc and Linux only.

#include <dlfcn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "stream.hpp"

namespace {

thread_local bool in_callback = false;
std::atomic<int> allocations{0};
std::atomic<int> locks{0};
std::atomic<bool> heard{false};
std::atomic<bool> done{false};
std::atomic<std::size_t> tick{0};  // a thread in such a cage may not even read the clock

}  // namespace

extern "C" void* __libc_malloc(std::size_t size);

extern "C" void* malloc(std::size_t size) {
    if (in_callback) ++allocations;
    return __libc_malloc(size);
}

extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) {
    static const auto real = reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
    if (in_callback) ++locks;
    return real(mutex);
}

int main(int count, char** values) {
    const bool wrong = count > 2 && std::string_view(values[2]) == "wrong";
    separator::Model model{std::filesystem::path(values[1])};
    separator::StreamOptions options;
    options.level = separator::Level{0, 1};
    separator::Stream stream(model, options);
    std::vector<float> mix(4096, 0.5F);
    std::vector<float> out(4096);
    const std::vector<const float*> from(model.channels, mix.data());
    const std::vector<float*> to(model.channels * model.sources.size(), out.data());
    std::mutex mutex;
    void* volatile block = nullptr;
    std::thread audio([&] {
        mutex.lock();  // finds the real function
        mutex.unlock();
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        for (std::size_t i = 0; i < 1000; ++i) {
            in_callback = true;
            stream.process(from.data(), to.data(), 1 + i % 700);
            if (wrong) {
                block = std::malloc(16);
                mutex.lock();
                mutex.unlock();
                std::free(block);
            }
            in_callback = false;
            if (out[0] == 0.5F) heard = true;
            while (tick < i) continue;
        }
        done = true;
        syscall(SYS_exit, 0);
    });
    for (; !done && tick < 10'000; ++tick) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!done) std::puts("the callback asked the system");
    if (done)
        std::printf("%s, %d allocations, %d locks\n", heard ? "heard" : "silent", allocations.load(), locks.load());
    std::fflush(stdout);
    std::_Exit(done ? 0 : 1);
}
