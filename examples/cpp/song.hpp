// Songs and stems in files, by libsndfile.

#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <optional>
#include <random>
#include <sndfile.hh>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "facts.hpp"

namespace separator {

// The samples of a song of the model's rate.
inline Audio read_song(const std::filesystem::path& path, const Facts& model) {
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

// Writes one stem as 32-bit float, rescaled where it would clip.
inline void write_stem(const std::filesystem::path& path, const Audio& stems, std::size_t stem, const Facts& model) {
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

// A folder that is gone again however this ends.
class ScratchFolder {
  public:
    const std::filesystem::path path;

    explicit ScratchFolder(const std::filesystem::path& parent)
        : path(parent / (".separate-" + std::to_string(std::random_device()()))) {
        std::filesystem::create_directories(path);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    ~ScratchFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

// Writes DIR/MODEL/SONG/STEM.wav, once all of them are complete, and prints their names.
inline void write_stems(const std::filesystem::path& dir, const std::filesystem::path& song, const Audio& stems,
                        const Facts& model) {
    namespace fs = std::filesystem;
    const fs::path folder = dir / safe_name(model.name) / song.stem();
    const ScratchFolder scratch(folder);
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

// Separates a song into DIR/MODEL/SONG/STEM.wav.
template <typename Model>
void separate_song(Model& model, const std::filesystem::path& song, const std::filesystem::path& dir,
                   std::optional<double> overlap) {
    if (model.track_overlap && overlap.value_or(*model.track_overlap) != *model.track_overlap)
        throw UsageError("this model takes whole tracks with an overlap built in; leave --overlap out");
    Audio track = read_song(song, model);
    const Audio stems = model.track_overlap ? model.run(track) : separate(model, track, overlap.value_or(0.25));
    write_stems(dir, song, stems, model);
}

}  // namespace separator
