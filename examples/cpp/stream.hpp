// Separation in an audio callback: blocks of any size go in, the stems of as many samples come out, a constant time
// later.
//
// A worker thread runs the model on segments that overlap and adds them up, as `onnx-demucs separate` does. The
// callback copies samples, and does nothing else: it allocates no memory, takes no lock, and makes no system call.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "model.hpp"

namespace separator {

// Samples by their position in a stream. One thread writes, another reads, and neither waits for the other.
class Ring {
  public:
    Ring(std::size_t channels, std::size_t capacity)
        : channels_(channels), capacity_(capacity), samples_(channels * capacity) {}

    // Behind the last sample that is there.
    std::uint64_t end() const noexcept { return end_.load(std::memory_order_acquire); }

    // The first sample that the reader has not given up.
    std::uint64_t begin() const noexcept { return begin_.load(std::memory_order_acquire); }

    // Writer: samples for a position that is not before end(), and silence for those left out. False, and nothing is
    // stored, where they would take the place of some that are not given up.
    bool write(std::uint64_t position, const float* const* channels, std::size_t offset, std::size_t count) noexcept {
        const auto needed = begin();
        if (position + count > needed + capacity_) return false;
        const auto left_out = std::min(std::max(end_.load(std::memory_order_relaxed), needed), position);
        in_parts(left_out, position - left_out, [&](std::size_t c, std::size_t place, std::size_t, std::size_t part) {
            std::fill_n(&samples_[c * capacity_ + place], part, 0.0F);
        });
        in_parts(position, count, [&](std::size_t c, std::size_t place, std::size_t done, std::size_t part) {
            std::copy_n(channels[c] + offset + done, part, &samples_[c * capacity_ + place]);
        });
        end_.store(position + count, std::memory_order_release);
        return true;
    }

    // Reader: samples from a position on that is not given up, before end().
    void read(std::uint64_t position, float* const* channels, std::size_t offset, std::size_t count) const noexcept {
        in_parts(position, count, [&](std::size_t c, std::size_t place, std::size_t done, std::size_t part) {
            std::copy_n(&samples_[c * capacity_ + place], part, channels[c] + offset + done);
        });
    }

    // Reader: nothing before the position is needed any more.
    void give_up(std::uint64_t position) noexcept { begin_.store(position, std::memory_order_release); }

  private:
    std::size_t channels_;
    std::size_t capacity_;
    std::vector<float> samples_;
    std::atomic<std::uint64_t> begin_{0};
    std::atomic<std::uint64_t> end_{0};
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

    template <typename Copy>
    void in_parts(std::uint64_t position, std::uint64_t count, Copy copy) const noexcept {
        for (std::uint64_t done = 0; done < count;) {
            const auto place = static_cast<std::size_t>((position + done) % capacity_);
            const auto part = std::min<std::uint64_t>(count - done, capacity_ - place);
            for (std::size_t c = 0; c < channels_; ++c) copy(c, place, done, part);
            done += part;
        }
    }
};

// What audio is normalised by. Networks that normalise what they get themselves, as HTDemucs does, hardly depend on it.
struct Level {
    float mean;
    float scale;
};

struct StreamOptions {
    double overlap = 0.25;
    std::optional<std::size_t> budget;  // samples of time to run the model in; a stride if not given
    std::optional<Level> level;         // of the whole song, where it is known; else of each segment for itself
};

// A model behind rings, which is of this stream alone. The stems of the sample that goes in now come out `latency()`
// samples later, always.
class Stream {
  public:
    Stream(Model& model, const StreamOptions& options = {})
        : model_(model),
          level_(options.level),
          stride_(stride_of(model, options.overlap)),
          latency_(model.segment + std::max<std::size_t>(options.budget.value_or(stride_), 1)),
          weight_(triangle(model.segment)),
          input_(model.channels, latency_ + 2 * model.segment),
          output_(model.sources.size() * model.channels, latency_ + model.segment),
          mix_(model.channels, model.segment),
          sum_(model.sources.size() * model.channels, model.segment),
          weights_(model.segment) {
        model_.run(mix_);  // the first run is slower: it allocates what later ones use again
        worker_ = std::thread([this] { work(); });
    }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // A run that is under way ends at its next operator.
    ~Stream() {
        stopping_.store(true, std::memory_order_relaxed);
        model_.stop_runs();
        worker_.join();
        model_.allow_runs();
    }

    // In samples: a segment, which has to be there before the model runs, and the budget, in which it runs. It keeps up
    // where a run takes less time than a stride, and less than the budget without a block and the time of `poll`.
    std::size_t latency() const noexcept { return latency_; }

    // Samples that were due, and silent since the worker was late.
    std::uint64_t underruns() const noexcept { return underruns_.load(std::memory_order_relaxed); }

    // Samples that the worker was too late to take, and got silence for.
    std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

    // True once the model has failed; stems are silent from there on, and error() says why.
    bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
    const std::string& error() const noexcept { return error_; }

    // The audio callback: `count` samples of each channel, and of each channel of each stem, a stem after the other.
    void process(const float* const* mix, float* const* stems, std::size_t count) noexcept {
        for (std::size_t done = 0; done < count;) {
            const auto part = std::min(count - done, stride_);
            if (!input_.write(position_, mix, done, part)) lost_.fetch_add(part, std::memory_order_relaxed);
            pull(stems, done, part);
            position_ += part;
            done += part;
        }
    }

    // The same for hosts that render faster than time passes: waits for the worker. Not for the audio callback.
    void render(const float* const* mix, float* const* stems, std::size_t count) {
        std::vector<const float*> from(mix, mix + mix_.channels);
        std::vector<float*> to(stems, stems + sum_.channels);
        for (std::size_t done = 0; done < count;) {
            const auto part = std::min({count - done, stride_, latency_ - mix_.length});
            const auto due = position_ + part;
            while (output_.end() + latency_ < due && !failed()) std::this_thread::sleep_for(poll);
            process(from.data(), to.data(), part);
            for (auto& channel : from) channel += part;
            for (auto& channel : to) channel += part;
            done += part;
        }
    }

  private:
    // The worker looks for work in place of being woken, which would be a system call in the callback.
    static constexpr std::chrono::milliseconds poll{2};

    Model& model_;
    std::optional<Level> level_;
    std::size_t stride_;
    std::size_t latency_;
    std::vector<float> weight_;
    Ring input_;
    Ring output_;
    Audio mix_;                   // the segment that is run
    Audio sum_;                   // weighted estimates of samples that later segments reach
    std::vector<float> weights_;  // and their weights
    std::uint64_t position_ = 0;  // of the callback
    std::atomic<std::uint64_t> underruns_{0};
    std::atomic<std::uint64_t> lost_{0};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> failed_{false};
    std::string error_;
    std::thread worker_;

    // The stems of the samples that went in a latency before.
    void pull(float* const* stems, std::size_t offset, std::size_t count) noexcept {
        const auto early = position_ < latency_ ? std::min<std::uint64_t>(latency_ - position_, count) : 0;
        const auto due = position_ + early - latency_;
        const auto there = output_.end();
        const auto ready = due < there ? std::min<std::uint64_t>(there - due, count - early) : 0;
        output_.read(due, stems, offset + early, ready);
        for (std::size_t c = 0; c < sum_.channels; ++c) {
            std::fill_n(stems[c] + offset, early, 0.0F);
            std::fill_n(stems[c] + offset + early + ready, count - early - ready, 0.0F);
        }
        if (early == count) return;
        underruns_.fetch_add(count - early - ready, std::memory_order_relaxed);
        output_.give_up(due + count - early);
    }

    void work() noexcept {
        try {
            for (std::uint64_t start = 0; !stopping_.load(std::memory_order_relaxed);) {
                const bool late = start + stride_ <= output_.begin();
                if (!late && input_.end() < start + mix_.length) {
                    std::this_thread::sleep_for(poll);
                    continue;
                }
                if (!late) {
                    add_estimate(start);
                    hand_out(start);
                }
                advance();
                start += stride_;
                input_.give_up(start);
            }
        } catch (const std::exception& error) {
            error_ = error.what();
            failed_.store(true, std::memory_order_release);
        }
    }

    void add_estimate(std::uint64_t start) {
        std::vector<float*> channels = pointers(mix_);
        input_.read(start, channels.data(), 0, mix_.length);
        for (float& sample : mix_.samples)
            if (!std::isfinite(sample)) sample = 0;
        const auto [mean, scale] = level_ ? *level_ : level_of(mix_);
        for (float& sample : mix_.samples) sample = (sample - mean) / scale;
        const Audio estimate = model_.run(mix_);
        for (std::size_t c = 0; c < sum_.channels; ++c) {
            const float offset = mean * model_.means[c / model_.channels];
            for (std::size_t i = 0; i < sum_.length; ++i)
                sum_.channel(c)[i] += weight_[i] * (estimate.channel(c)[i] * scale + offset);
        }
        for (std::size_t i = 0; i < sum_.length; ++i) weights_[i] += weight_[i];
    }

    // What no later segment reaches is complete.
    void hand_out(std::uint64_t start) {
        for (std::size_t c = 0; c < sum_.channels; ++c)
            for (std::size_t i = 0; i < stride_; ++i) sum_.channel(c)[i] /= weights_[i];
        output_.write(start, pointers(sum_).data(), 0, stride_);
    }

    void advance() {
        for (float* const channel : pointers(sum_)) shift(channel);
        shift(weights_.data());
    }

    void shift(float* samples) const {
        std::copy(samples + stride_, samples + sum_.length, samples);
        std::fill_n(samples + sum_.length - stride_, stride_, 0.0F);
    }

    static std::vector<float*> pointers(Audio& audio) {
        std::vector<float*> channels;
        for (std::size_t c = 0; c < audio.channels; ++c) channels.push_back(audio.channel(c));
        return channels;
    }

    static Level level_of(const Audio& audio) {
        const auto [mean, scale] = statistics(audio);
        return {mean, scale};
    }

    static std::size_t stride_of(const Model& model, double overlap) {
        if (model.track_overlap)
            throw Failure("the model takes whole tracks, and not a stream; compile it without --track");
        return stride(model.segment, overlap);
    }
};

}  // namespace separator
