// A compiled file in a session of ONNX Runtime.

#pragma once

#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "facts.hpp"

namespace separator {

class Model : public Facts {
  public:
    // From a file, .onnx or .ort. Weights in a second file are found beside it, whatever the current folder.
    explicit Model(const std::filesystem::path& path, const Ort::SessionOptions& options = session_options())
        : session_(open(path, options)) {
        read_metadata();
    }

    // From a file in memory, which must outlive the model.
    explicit Model(std::span<const unsigned char> file, const Ort::SessionOptions& options = in_place())
        : session_(env_, file.data(), file.size(), options) {
        read_metadata();
    }

    static Ort::SessionOptions session_options() {
        Ort::SessionOptions options;
        options.DisableMemPattern();  // it holds every tensor's peak for the whole life of the session
        // Numbers below 1.2e-38, of which attention makes many and which Intel's processors multiply slowly.
        options.AddConfigEntry(kOrtSessionOptionsConfigSetDenormalAsZero, "1");
        return options;
    }

    // Of an .ort file in memory: the weights are used where they lie.
    static Ort::SessionOptions in_place() {
        auto options = session_options();
        options.AddConfigEntry(kOrtSessionOptionsConfigUseORTModelBytesDirectly, "1");
        options.AddConfigEntry(kOrtSessionOptionsConfigUseORTModelBytesForInitializers, "1");
        return options;
    }

    // The stems of [channels, length]: of one segment, or of a track where the model takes tracks.
    Audio run(Audio& mix) {
        const auto length = static_cast<std::int64_t>(mix.length);
        std::vector<std::int64_t> shape{static_cast<std::int64_t>(channels), length};
        if (!track_overlap) shape.insert(shape.begin(), 1);
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        auto input =
            Ort::Value::CreateTensor<float>(memory, mix.samples.data(), mix.samples.size(), shape.data(), shape.size());
        const auto input_name = session_.GetInputNameAllocated(0, allocator_);
        const auto output_name = session_.GetOutputNameAllocated(0, allocator_);
        const char* const inputs[] = {input_name.get()};
        const char* const outputs[] = {output_name.get()};
        const auto results = session_.Run(run_options_, inputs, &input, 1, outputs, 1);
        Audio stems(sources.size() * channels, mix.length);
        if (results[0].GetTensorTypeAndShapeInfo().GetElementCount() != stems.samples.size())
            throw Failure("the model's output is not what its metadata describes; compile it again");
        const float* const data = results[0].GetTensorData<float>();
        std::copy(data, data + stems.samples.size(), stems.samples.begin());
        return stems;
    }

    // From any thread: a run that is under way fails at its next operator, and so does every other until allow_runs().
    void stop_runs() { run_options_.SetTerminate(); }
    void allow_runs() { run_options_.UnsetTerminate(); }

  private:
    Ort::RunOptions run_options_;
    Ort::Env env_{ORT_LOGGING_LEVEL_FATAL};
    Ort::AllocatorWithDefaultOptions allocator_;
    Ort::Session session_;

    Ort::Session open(const std::filesystem::path& path, const Ort::SessionOptions& options) {
        if (!std::filesystem::is_regular_file(path)) throw Failure(path.string() + ": no such file");
        return Ort::Session(env_, path.c_str(), options);
    }

    void read_metadata() {
        if (session_.GetInputCount() != 1)
            throw Failure("the model has several inputs; compile it with --interface waveform");
        const auto metadata = session_.GetModelMetadata();
        static_cast<Facts&>(*this) = Facts::of([&](const char* key) -> std::optional<std::string> {
            const auto value = metadata.LookupCustomMetadataMapAllocated(key, allocator_);
            if (!value) return std::nullopt;
            return value.get();
        });
    }
};

}  // namespace separator
