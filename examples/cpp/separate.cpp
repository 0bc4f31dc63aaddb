// Separates a song with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//
// The arithmetic is that of `onnx-demucs separate --float32`: the track is normalised, cut into segments that
// overlap, and what the model makes of them is added up under triangular weights.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "model.hpp"
#include "song.hpp"

namespace fs = std::filesystem;
using namespace separator;

namespace {

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

    explicit ScratchFolder(const fs::path& parent)
        : path(parent / (".separate-" + std::to_string(std::random_device()()))) {
        fs::create_directories(path);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    ~ScratchFolder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

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
    const Audio stems =
        model.track_overlap ? model.run(track) : separate(model, track, arguments.overlap.value_or(0.25));

    std::vector<fs::path> files;
    for (std::size_t stem = 0; stem < model.sources.size(); ++stem) {
        files.emplace_back(safe_name(model.sources[stem]) += ".wav");
        if (fs::exists(folder / files.back()) && fs::equivalent(folder / files.back(), song))
            throw Failure(song.string() + ": a stem would overwrite the song itself");
        write_stem(scratch.path / files.back(), stems, stem, model);
    }
    for (const auto& file : files) {
        fs::rename(scratch.path / file, folder / file);
        std::cout << (folder / file).string() << '\n';
    }
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
