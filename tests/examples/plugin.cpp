// A plug-in that tells which file's ONNX Runtime it calls, and runs a model of one input and one output with it.
//
// With -DOPEN_RUNTIME it opens libonnxruntime.so.1 beside itself by its path, and is not linked with it.

#ifdef OPEN_RUNTIME
#define ORT_API_MANUAL_INIT
#endif

#include <dlfcn.h>
#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

namespace {

std::string file_of(const void* symbol) {
    Dl_info info;
    return dladdr(symbol, &info) != 0 ? std::filesystem::canonical(info.dli_fname).string() : "";
}

void open_runtime() {
#ifdef OPEN_RUNTIME
    const auto beside = std::filesystem::path(file_of(reinterpret_cast<void*>(&open_runtime))).parent_path();
    void* const library = dlopen((beside / "libonnxruntime.so.1").c_str(), RTLD_NOW | RTLD_LOCAL);
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"))();
    Ort::InitApi(base->GetApi(ORT_API_VERSION));
#endif
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED void open() { open_runtime(); }

EXPORTED const char* runtime_file() {
    static const std::string file = file_of(reinterpret_cast<const void*>(Ort::GetApi().CreateEnv));
    return file.c_str();
}

EXPORTED double run(const char* model) {
    const Ort::Env env;
    const Ort::SessionOptions options;
    Ort::Session session(env, model, options);
    auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    std::vector<float> samples(std::accumulate(shape.begin(), shape.end(), 1, std::multiplies<>()), 0.5F);
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    auto input = Ort::Value::CreateTensor<float>(memory, samples.data(), samples.size(), shape.data(), shape.size());
    const char* const inputs[] = {"mix"};
    const char* const outputs[] = {"stems"};
    double sum = 0;
    for (int i = 0; i < 50; ++i) {
        const auto results = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1);
        const auto count = results[0].GetTensorTypeAndShapeInfo().GetElementCount();
        const float* const data = results[0].GetTensorData<float>();
        sum = std::accumulate(data, data + count, 0.0);
    }
    return sum;
}
