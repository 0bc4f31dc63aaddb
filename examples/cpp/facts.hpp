// What a compiled file's metadata says of it, and the arithmetic around a model.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
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

// What the metadata says. `Find` gives the text of a key, if there is one.
struct Facts {
    std::string name;
    std::vector<std::string> sources;
    std::vector<float> means;  // how many times each stem of a normalised track lacks the track's mean
    int sample_rate;
    std::size_t channels;
    std::size_t segment;
    std::optional<double> track_overlap;  // set where one run takes a whole track

    template <typename Find>
    static Facts of(Find find) {
        const auto property = [&](const char* key) -> std::string {
            const std::optional<std::string> value = find(key);
            if (!value) throw Failure(std::string("the model's metadata lacks ") + key + "; compile it again");
            return *value;
        };
        const auto names = [&](const char* key) -> std::vector<std::string> {
            return nlohmann::json::parse(property(key));
        };
        const auto number = [&](const char* key) -> std::size_t {
            const auto value = std::strtoull(property(key).c_str(), nullptr, 10);
            if (value == 0)
                throw Failure(std::string("the model's metadata tells no ") + key + "; compile a separator");
            return value;
        };
        if (property("onnx_demucs.interface") == "surrounded")
            throw Failure("the model needs the song around each segment; compile it with --length segment");
        if (property("onnx_demucs.interface") != "waveform")
            throw Failure("the model leaves its STFT to the client; compile it with --interface waveform");
        if (find("onnx_demucs.fade_step"))
            throw Failure("the segments of this model fade into each other; use onnx-demucs separate");
        if (const auto batch = property("onnx_demucs.batch"); batch != "1" && batch != "dynamic")
            throw Failure("the model takes " + batch + " segments in a run; compile it with --batch 1");
        Facts facts{property("onnx_demucs.model"),
                    names("sources"),
                    {},
                    static_cast<int>(number("sample_rate")),
                    number("audio_channels"),
                    number("onnx_demucs.segment"),
                    std::nullopt};
        facts.means.assign(facts.sources.size(), 1.0F);
        if (const auto method = property("onnx_demucs.other_method"); !method.empty())
            facts.means.at(1) = method == "add" ? static_cast<float>(names("onnx_demucs.model_sources").size() - 1) : 0;
        if (const auto overlap = property("onnx_demucs.overlap"); !overlap.empty())
            facts.track_overlap = std::stod(overlap);
        return facts;
    }
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

// The stems of a track: segments that overlap, added up under triangular weights.
template <typename Model>
Audio separate(Model& model, const Audio& track, double overlap) {
    const auto size = static_cast<std::ptrdiff_t>(model.segment);
    const auto step = static_cast<std::ptrdiff_t>(stride(model.segment, overlap));
    const auto length = static_cast<std::ptrdiff_t>(track.length);
    const auto [mean, scale] = statistics(track);
    const std::vector<float> weight = triangle(model.segment);

    Audio sum(model.sources.size() * model.channels, track.length);
    std::vector<float> weights(track.length);
    for (std::ptrdiff_t start = 0; start < length; start += step) {
        const auto covered = std::min(size, length - start);
        const auto begin = start - (size - covered) / 2;  // a window past the end is centred on what is left
        Audio mix(model.channels, model.segment);
        for (std::size_t c = 0; c < model.channels; ++c)
            for (auto i = std::max<std::ptrdiff_t>(begin, 0); i < std::min(begin + size, length); ++i)
                mix.channel(c)[i - begin] = (track.channel(c)[i] - mean) / scale;
        const Audio estimate = model.run(mix);
        for (std::size_t c = 0; c < sum.channels; ++c)
            for (std::ptrdiff_t i = 0; i < covered; ++i)
                sum.channel(c)[start + i] += weight[i] * estimate.channel(c)[start + i - begin];
        for (std::ptrdiff_t i = 0; i < covered; ++i) weights[start + i] += weight[i];
    }
    for (std::size_t c = 0; c < sum.channels; ++c)
        for (std::size_t i = 0; i < sum.length; ++i)
            sum.channel(c)[i] = sum.channel(c)[i] / weights[i] * scale + mean * model.means[c / model.channels];
    return sum;
}

}  // namespace separator
