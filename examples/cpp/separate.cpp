// Separates a song with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//
// The arithmetic is that of `onnx-demucs separate --float32`: the track is normalised, cut into segments that
// overlap, and what the model makes of them is added up under triangular weights.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <vector>

#include "arguments.hpp"
#include "model.hpp"
#include "song.hpp"

namespace fs = std::filesystem;
using namespace separator;

namespace {

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

void run(const Arguments& arguments) {
    const fs::path& song = arguments.paths[1];
    const auto overlap = arguments.number("--overlap", "a number, at least 0 and below 1", 0, below_one);
    Model model(arguments.paths[0]);
    if (model.track_overlap && overlap.value_or(*model.track_overlap) != *model.track_overlap)
        throw UsageError("this model takes whole tracks with an overlap built in; leave --overlap out");
    Audio track = read_song(song, model);
    const Audio stems = model.track_overlap ? model.run(track) : separate(model, track, overlap.value_or(0.25));
    write_stems(arguments.paths[2], song, stems, model);
}

}  // namespace

int main(int count, char** values) {
    return answer(
        [&] { run(parse(count, values, {"--overlap"}, "separate MODEL.onnx SONG.wav OUTDIR [--overlap 0.25]")); });
}
