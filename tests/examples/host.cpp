// Opens plug-ins as hosts do, and prints the file whose ONNX Runtime each calls; with a model, runs it in all of them
// at once, and prints the sum of what each made.
//
// MODEL|none PLUGIN...

#include <dlfcn.h>

#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

int main(int count, char** values) {
    std::vector<void*> plugins;
    for (int i = 2; i < count; ++i) {
        plugins.push_back(dlopen(values[i], RTLD_NOW | RTLD_LOCAL));
        if (plugins.back() == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
    }
    const auto call = [&](std::size_t i, const char* name) { return dlsym(plugins[i], name); };
    for (std::size_t i = 0; i < plugins.size(); ++i) reinterpret_cast<void (*)()>(call(i, "open"))();
    std::vector<double> sums(plugins.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < plugins.size() && std::string_view(values[1]) != "none"; ++i)
        threads.emplace_back(
            [&, i] { sums[i] = reinterpret_cast<double (*)(const char*)>(call(i, "run"))(values[1]); });
    for (auto& thread : threads) thread.join();
    for (std::size_t i = 0; i < plugins.size(); ++i)
        std::printf("%s %.9g\n", reinterpret_cast<const char* (*)()>(call(i, "runtime_file"))(), sums[i]);
}
