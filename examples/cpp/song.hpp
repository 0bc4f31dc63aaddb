// Songs and stems in files, by libsndfile.

#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <sndfile.hh>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model.hpp"

namespace separator {

// The samples of a song of the model's rate.
inline Audio read_song(const std::filesystem::path& path, const Model& model) {
    if (!std::filesystem::is_regular_file(path)) throw Failure(path.string() + ": no such file");
    SndfileHandle file(path.c_str());
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

// Writes one stem as 32-bit float, rescaled where it would clip.
inline void write_stem(const std::filesystem::path& path, const Audio& stems, std::size_t stem, const Model& model) {
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
    SndfileHandle file(path.c_str(), SFM_WRITE, SF_FORMAT_WAV | SF_FORMAT_FLOAT, static_cast<int>(model.channels),
                       model.sample_rate);
    if (file.error() != 0 || file.writef(frames.data(), count) != count)
        throw Failure(path.string() + ": cannot be written (" + file.strError() + ")");
}

// A name that any file system takes as one component of a path.
inline std::filesystem::path safe_name(std::string name) {
    constexpr std::string_view plain = "_.=+ -";
    for (char& letter : name) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte < 0x80 && std::isalnum(byte) == 0 && plain.find(letter) == std::string_view::npos) letter = '_';
    }
    name.erase(0, name.find_first_not_of('.'));
    if (name.empty()) name = "_";
    return std::u8string(name.begin(), name.end());
}

// One line on stderr.
inline int fail(const std::exception& error, int code) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::cerr << "error: " << line << '\n';
    return code;
}

}  // namespace separator
