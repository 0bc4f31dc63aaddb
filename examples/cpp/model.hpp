// A file that onnx-demucs-compile wrote, open in ONNX Runtime, and what its metadata says of it.

#pragma once

#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
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

// Mean and unbiased deviation of the mono mix-down. A silent track can still be divided by the deviation.
inline std::pair<float, float> statistics(const Audio& track) {
    std::vector<double> mono(track.length);
    for (std::size_t c = 0; c < track.channels; ++c)
        for (std::size_t i = 0; i < track.length; ++i)
            mono[i] += track.channel(c)[i] / static_cast<double>(track.channels);
    const double mean = std::accumulate(mono.begin(), mono.end(), 0.0) / static_cast<double>(mono.size());
    double squares = 0;
    for (const double sample : mono) squares += (sample - mean) * (sample - mean);
    const double variance = mono.size() > 1 ? squares / static_cast<double>(mono.size() - 1) : 0;
    return {static_cast<float>(mean), static_cast<float>(std::sqrt(variance)) + 1e-8F};
}

// Samples from one segment to the next.
inline std::size_t stride(std::size_t segment, double overlap) {
    const auto samples = static_cast<std::size_t>((1 - overlap) * static_cast<double>(segment));
    if (samples == 0) throw UsageError("such an overlap leaves no step between segments");
    return samples;
}

// The weight of each sample of a segment, which rises to 1 in the middle.
inline std::vector<float> triangle(std::size_t segment) {
    std::vector<float> weight(segment);
    for (std::size_t i = 0; i < segment; ++i)
        weight[i] = static_cast<float>(std::min(i + 1, segment - i)) / static_cast<float>(segment - segment / 2);
    return weight;
}

}  // namespace separator
