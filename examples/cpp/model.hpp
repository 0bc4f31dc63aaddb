// A file that onnx-demucs-compile wrote, open in ONNX Runtime, and what its metadata says of it.

#pragma once

#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace separator {

// The request is wrong.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The work failed.
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Samples of several channels, one channel after the other. Stems lie in it as channels too.
struct Audio {
    std::size_t channels;
    std::size_t length;
    std::vector<float> samples;

    Audio(std::size_t channels, std::size_t length) : channels(channels), length(length), samples(channels * length) {}
    float* channel(std::size_t index) { return samples.data() + index * length; }
    const float* channel(std::size_t index) const { return samples.data() + index * length; }
};

// A model, and what its metadata says of it.
class Model {
  public:
    std::string name;
    std::vector<std::string> sources;
    std::vector<float> means;  // how many times each stem of a normalised track lacks the track's mean
    int sample_rate;
    std::size_t channels;
    std::size_t segment;
    std::optional<double> track_overlap;  // set where one run takes a whole track

    // From a file, .onnx or .ort. Weights in a second file are found beside it, whatever the current folder.
    explicit Model(const std::filesystem::path& path, Ort::SessionOptions options = session_options())
        : session_(open(path, options)) {
        read_metadata();
    }

    // From a file in memory, which must outlive the model: of an .ort file, the weights are used where they lie.
    explicit Model(std::span<const unsigned char> file, Ort::SessionOptions options = session_options())
        : session_(open(file, options)) {
        read_metadata();
    }

    static Ort::SessionOptions session_options() {
        Ort::SessionOptions options;
        options.DisableMemPattern();  // it holds every tensor's peak for the whole life of the session
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
        const auto results = session_.Run(Ort::RunOptions{nullptr}, inputs, &input, 1, outputs, 1);
        Audio stems(sources.size() * channels, mix.length);
        if (results[0].GetTensorTypeAndShapeInfo().GetElementCount() != stems.samples.size())
            throw Failure("the model's output is not what its metadata describes; compile it again");
        const float* const data = results[0].GetTensorData<float>();
        std::copy(data, data + stems.samples.size(), stems.samples.begin());
        return stems;
    }

  private:
    Ort::Env env_{ORT_LOGGING_LEVEL_FATAL};
    Ort::AllocatorWithDefaultOptions allocator_;
    Ort::Session session_;

    Ort::Session open(const std::filesystem::path& path, const Ort::SessionOptions& options) {
        if (!std::filesystem::is_regular_file(path)) throw Failure(path.string() + ": no such file");
        return Ort::Session(env_, path.c_str(), options);
    }

    Ort::Session open(std::span<const unsigned char> file, Ort::SessionOptions& options) {
        options.AddConfigEntry(kOrtSessionOptionsConfigUseORTModelBytesDirectly, "1");
        options.AddConfigEntry(kOrtSessionOptionsConfigUseORTModelBytesForInitializers, "1");
        return Ort::Session(env_, file.data(), file.size(), options);
    }

    void read_metadata() {
        if (session_.GetInputCount() != 1 || property("onnx_demucs.interface") != "waveform")
            throw Failure("the model leaves its STFT to the client; compile it with --interface waveform");
        if (const auto batch = property("onnx_demucs.batch"); batch != "1" && batch != "dynamic")
            throw Failure("the model takes " + batch + " segments in a run; compile it with --batch 1");
        name = property("onnx_demucs.model");
        sources = names("sources");
        sample_rate = static_cast<int>(number("sample_rate"));
        channels = number("audio_channels");
        segment = number("onnx_demucs.segment");
        means.assign(sources.size(), 1.0F);
        if (const auto method = property("onnx_demucs.other_method"); !method.empty())
            means.at(1) = method == "add" ? static_cast<float>(names("onnx_demucs.model_sources").size() - 1) : 0;
        if (const auto overlap = property("onnx_demucs.overlap"); !overlap.empty()) track_overlap = std::stod(overlap);
    }

    std::string property(const char* key) {
        const auto value = session_.GetModelMetadata().LookupCustomMetadataMapAllocated(key, allocator_);
        if (!value) throw Failure(std::string("the model's metadata lacks ") + key + "; compile it again");
        return value.get();
    }

    std::size_t number(const char* key) {
        const auto value = std::strtoull(property(key).c_str(), nullptr, 10);
        if (value == 0) throw Failure(std::string("the model's metadata tells no ") + key + "; compile a separator");
        return value;
    }

    std::vector<std::string> names(const char* key) { return nlohmann::json::parse(property(key)); }
};

}  // namespace separator
