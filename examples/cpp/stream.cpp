// Plays a song through a Stream as a host plays it through a plug-in, and writes what comes out: each stem, late by the
// latency. MODEL.onnx SONG.wav OUTDIR [--blocks 512] [--overlap 0.25] [--budget SAMPLES] [--level song|segment]
// [--live SPEED]
//
// --blocks: samples of a block; of several, separated by commas, one after the other in turn.
// --budget: samples of time to run the model in, which the latency has beyond a segment.
// --level: what the song is normalised by: that of the song, as `onnx-demucs separate` does, or of each segment.
// --live: in SPEED times real time, as on a stage; else as hosts render to a file, where the song waits for the worker.

#include "stream.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "arguments.hpp"
#include "model.hpp"
#include "song.hpp"

using namespace separator;

namespace {

constexpr auto usage =
    "stream MODEL.onnx SONG.wav OUTDIR [--blocks 512] [--overlap 0.25] [--budget SAMPLES] [--level song|segment] "
    "[--live SPEED]";

std::vector<std::size_t> block_sizes(const std::string& text) {
    std::vector<std::size_t> sizes;
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, ',');) {
        Arguments one;
        one.options["--blocks"] = word;
        sizes.push_back(static_cast<std::size_t>(*one.number("--blocks", "numbers of samples, as in 64,997", 1, 1e9)));
    }
    if (sizes.empty()) throw UsageError("--blocks takes numbers of samples, as in 64,997");
    return sizes;
}

StreamOptions stream_options(const Arguments& arguments, const Audio& song) {
    StreamOptions options;
    options.overlap = arguments.overlap().value_or(0.25);
    if (const auto budget = arguments.number("--budget", "a number of samples", 0, 1e9))
        options.budget = static_cast<std::size_t>(*budget);
    const std::string level = arguments.text("--level", "song");
    if (level != "song" && level != "segment") throw UsageError("--level takes song or segment");
    if (level == "song") {
        const auto [mean, scale] = statistics(song);
        options.level = Level{mean, scale};
    }
    return options;
}

// The song and then silence, until its end has come out. Blocks are called back at their times, or when the worker is
// ready for them.
Audio play(Stream& stream, const Audio& song, const std::vector<std::size_t>& blocks, std::size_t stems, double rate) {
    const std::size_t length = song.length + stream.latency();
    Audio mix(song.channels, length);
    Audio out(stems * song.channels, length);
    for (std::size_t c = 0; c < song.channels; ++c) std::copy_n(song.channel(c), song.length, mix.channel(c));
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t position = 0, turn = 0; position < length; ++turn) {
        const std::size_t count = std::min(blocks[turn % blocks.size()], length - position);
        std::vector<const float*> from;
        std::vector<float*> to;
        for (std::size_t c = 0; c < mix.channels; ++c) from.push_back(mix.channel(c) + position);
        for (std::size_t c = 0; c < out.channels; ++c) to.push_back(out.channel(c) + position);
        if (rate > 0) {
            std::this_thread::sleep_until(began + std::chrono::duration<double>(static_cast<double>(position) / rate));
            stream.process(from.data(), to.data(), count);
        } else {
            stream.render(from.data(), to.data(), count);
        }
        position += count;
    }
    return out;
}

void run(const Arguments& arguments) {
    const auto speed = arguments.number("--live", "a number above 0", 1e-9).value_or(0);
    const auto blocks = block_sizes(arguments.text("--blocks", "512"));
    Model model(arguments.paths[0]);
    const Audio song = read_song(arguments.paths[1], model);
    Stream stream(model, stream_options(arguments, song));
    const Audio stems = play(stream, song, blocks, model.sources.size(), speed * model.sample_rate);
    if (stream.failed()) throw Failure(stream.error());
    std::cout << "latency: " << stream.latency() << " samples\n"
              << "underruns: " << stream.underruns() << " samples\n"
              << "lost: " << stream.lost() << " samples\n";
    write_stems(arguments.paths[2], arguments.paths[1], stems, model);
}

}  // namespace

int main(int count, char** values) {
    return answer(
        [&] { run(parse(count, values, 3, {"--blocks", "--overlap", "--budget", "--level", "--live"}, usage)); });
}
