// Separates a song with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//
// The arithmetic is that of `onnx-demucs separate --float32`: the track is normalised, cut into segments that
// overlap, and what the model makes of them is added up under triangular weights.

#include <onnxruntime_cxx_api.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <sndfile.hh>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fs = std::filesystem;

namespace {

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Samples of several channels, one channel after the other. Stems lie in it as channels too.
struct Audio {
    std::size_t channels;
    std::size_t length;
    std::vector<float> samples;

    Audio(std::size_t channels, std::size_t length)
        : channels(channels), length(length), samples(channels * length) {}
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

    explicit Model(const fs::path& path) : session_(open(path)) {
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
        if (const auto overlap = property("onnx_demucs.overlap"); !overlap.empty())
            track_overlap = std::stod(overlap);
    }

    // The stems of [channels, length]: of one segment, or of a track where the model takes tracks.
    Audio run(Audio& mix) {
        const auto length = static_cast<std::int64_t>(mix.length);
        std::vector<std::int64_t> shape{static_cast<std::int64_t>(channels), length};
        if (!track_overlap) shape.insert(shape.begin(), 1);
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        auto input = Ort::Value::CreateTensor<float>(memory, mix.samples.data(), mix.samples.size(), shape.data(),
                                                     shape.size());
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

    Ort::Session open(const fs::path& path) {
        if (!fs::is_regular_file(path)) throw Failure(path.string() + ": no such file");
        Ort::SessionOptions options;
        options.DisableMemPattern();  // it holds every tensor's peak for the whole life of the session
        return Ort::Session(env_, path.c_str(), options);
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

Audio read_song(const fs::path& path, const Model& model) {
    if (!fs::is_regular_file(path)) throw Failure(path.string() + ": no such file");
    SndfileHandle file(path.string());
    if (file.error() != 0) throw Failure(path.string() + ": cannot be read as audio (" + file.strError() + ")");
    if (file.samplerate() != model.sample_rate)
        throw Failure(path.string() + ": has " + std::to_string(file.samplerate()) + " Hz, and the model takes " +
                      std::to_string(model.sample_rate) + " Hz; resample it first");
    const auto found = static_cast<std::size_t>(file.channels());
    if (found > 1 && found < model.channels)
        throw Failure(path.string() + ": has " + std::to_string(found) + " channels, and the model takes " +
                      std::to_string(model.channels));
    std::vector<float> frames(static_cast<std::size_t>(file.frames()) * found);
    if (frames.empty()) throw Failure(path.string() + ": the file holds no audio (0 seconds)");
    if (file.readf(frames.data(), file.frames()) != file.frames()) throw Failure(path.string() + ": is damaged");
    if (!std::all_of(frames.begin(), frames.end(), [](float sample) { return std::isfinite(sample); }))
        throw Failure(path.string() + ": has samples that are not finite numbers");

    Audio song(model.channels, frames.size() / found);
    for (std::size_t i = 0; i < song.length; ++i) {
        const float* const frame = frames.data() + i * found;
        for (std::size_t c = 0; c < song.channels; ++c)
            song.channel(c)[i] = song.channels == 1
                                     ? std::accumulate(frame, frame + found, 0.0F) / static_cast<float>(found)
                                     : frame[found == 1 ? 0 : c];
    }
    return song;
}

// Mean and unbiased deviation of the mono mix-down. A silent track can still be divided by the deviation.
std::pair<float, float> statistics(const Audio& track) {
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

Audio separate(Model& model, const Audio& track, double overlap) {
    const auto size = static_cast<std::ptrdiff_t>(model.segment);
    const auto stride = static_cast<std::ptrdiff_t>((1 - overlap) * static_cast<double>(size));
    if (stride == 0) throw UsageError("such an overlap leaves no step between segments");
    const auto length = static_cast<std::ptrdiff_t>(track.length);
    const auto [mean, scale] = statistics(track);

    std::vector<float> weight(model.segment);
    for (std::ptrdiff_t i = 0; i < size; ++i)
        weight[i] = static_cast<float>(std::min(i + 1, size - i)) / static_cast<float>(size - size / 2);

    Audio sum(model.sources.size() * model.channels, track.length);
    std::vector<float> weights(track.length);
    for (std::ptrdiff_t start = 0; start < length; start += stride) {
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

// A folder that is gone again however this ends.
class ScratchFolder {
  public:
    const fs::path path;

    explicit ScratchFolder(const fs::path& parent) : path(parent / (".separate-" + std::to_string(getpid()))) {
        fs::create_directories(path);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    ~ScratchFolder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

// Writes one stem as 32-bit float, rescaled where it would clip.
void write_stem(const fs::path& path, const Audio& stems, std::size_t stem, const Model& model) {
    std::vector<float> frames(model.channels * stems.length);
    float peak = 0;
    for (std::size_t c = 0; c < model.channels; ++c)
        for (std::size_t i = 0; i < stems.length; ++i) {
            const float sample = stems.channel(stem * model.channels + c)[i];
            if (!std::isfinite(sample)) throw Failure("the model made samples that are not finite numbers");
            frames[i * model.channels + c] = sample;
            peak = std::max(peak, std::abs(sample));
        }
    for (float& sample : frames) sample /= std::max(1.01F * peak, 1.0F);
    const auto count = static_cast<sf_count_t>(stems.length);
    SndfileHandle file(path.string(), SFM_WRITE, SF_FORMAT_WAV | SF_FORMAT_FLOAT, static_cast<int>(model.channels),
                       model.sample_rate);
    if (file.error() != 0 || file.writef(frames.data(), count) != count)
        throw Failure(path.string() + ": cannot be written (" + file.strError() + ")");
}

// A name that any file system takes as one component of a path.
std::string safe_name(std::string name) {
    constexpr std::string_view plain = "_.=+ -";
    for (char& letter : name) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte < 0x80 && std::isalnum(byte) == 0 && plain.find(letter) == std::string_view::npos) letter = '_';
    }
    name.erase(0, name.find_first_not_of('.'));
    return name.empty() ? "_" : name;
}

struct Arguments {
    std::vector<fs::path> paths;
    std::optional<double> overlap;
};

Arguments parse(int count, char** values) {
    Arguments arguments;
    for (int i = 1; i < count; ++i) {
        const std::string value = values[i];
        if (value != "--overlap") {
            if (value.rfind("--", 0) == 0) throw UsageError("no such option: " + value);
            arguments.paths.emplace_back(value);
            continue;
        }
        char* end = nullptr;
        const char* const text = ++i < count ? values[i] : "";
        arguments.overlap = std::strtod(text, &end);
        if (end == text || *end != '\0' || !(*arguments.overlap >= 0 && *arguments.overlap < 1))
            throw UsageError("--overlap takes a number, at least 0 and below 1");
    }
    if (arguments.paths.size() != 3) throw UsageError("usage: separate MODEL.onnx SONG.wav OUTDIR [--overlap 0.25]");
    return arguments;
}

void run(const Arguments& arguments) {
    const fs::path& song = arguments.paths[1];
    Model model(arguments.paths[0]);
    if (model.track_overlap && arguments.overlap.value_or(*model.track_overlap) != *model.track_overlap)
        throw UsageError("this model takes whole tracks with an overlap built in; leave --overlap out");
    Audio track = read_song(song, model);
    const fs::path folder = arguments.paths[2] / safe_name(model.name) / song.stem();
    const ScratchFolder scratch(folder);
    const Audio stems = model.track_overlap ? model.run(track) : separate(model, track, arguments.overlap.value_or(0.25));

    std::vector<fs::path> files;
    for (std::size_t stem = 0; stem < model.sources.size(); ++stem) {
        files.emplace_back(safe_name(model.sources[stem]) + ".wav");
        if (fs::exists(folder / files.back()) && fs::equivalent(folder / files.back(), song))
            throw Failure(song.string() + ": a stem would overwrite the song itself");
        write_stem(scratch.path / files.back(), stems, stem, model);
    }
    for (const auto& file : files) {
        fs::rename(scratch.path / file, folder / file);
        std::cout << (folder / file).string() << '\n';
    }
}

int fail(const std::exception& error, int code) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::cerr << "error: " << line << '\n';
    return code;
}

}  // namespace

int main(int count, char** values) {
    try {
        run(parse(count, values));
        return 0;
    } catch (const UsageError& error) {
        return fail(error, 2);
    } catch (const std::exception& error) {
        return fail(error, 1);
    }
}
