// demucs' STFT and its inverse, by KissFFT, for graphs that leave them to the client: --interface core, spectral or
// openkara.

#pragma once

#include <kiss_fftr.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numbers>
#include <vector>

namespace separator {

// Between samples of a channel and planes of real and imaginary parts, [bins, frames], without the Nyquist bin.
class Spectrum {
  public:
    explicit Spectrum(std::size_t n_fft)
        : size_(n_fft),
          hop_(n_fft / 4),
          window_(n_fft),
          frame_(n_fft),
          bins_(n_fft / 2 + 1),
          forward_(kiss_fftr_alloc(static_cast<int>(n_fft), 0, nullptr, nullptr), kiss_fft_free),
          inverse_(kiss_fftr_alloc(static_cast<int>(n_fft), 1, nullptr, nullptr), kiss_fft_free) {
        for (std::size_t i = 0; i < size_; ++i)
            window_[i] = static_cast<float>(
                0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size_)));
    }

    std::size_t bins() const { return size_ / 2; }
    std::size_t frames(std::size_t samples) const { return (samples + hop_ - 1) / hop_; }

    // Of more samples than three hops.
    void analyse(const float* audio, std::size_t samples, float* real, float* imag) {
        const std::size_t count = frames(samples);
        const auto last = static_cast<std::ptrdiff_t>(samples) - 1;
        const float norm = 1 / std::sqrt(static_cast<float>(size_));
        for (std::size_t t = 0; t < count; ++t) {
            auto place = static_cast<std::ptrdiff_t>(t * hop_) - static_cast<std::ptrdiff_t>(lead());
            for (std::size_t i = 0; i < size_; ++i, ++place) {
                const auto inside = std::abs(place);  // reflected at either end
                frame_[i] = audio[inside > last ? 2 * last - inside : inside] * window_[i] * norm;
            }
            kiss_fftr(forward_.get(), frame_.data(), bins_.data());
            for (std::size_t f = 0; f < bins(); ++f) {
                real[f * count + t] = bins_[f].r;
                imag[f * count + t] = bins_[f].i;
            }
        }
    }

    // Adds what the planes stand for to the samples: a stem is the inverse STFT of its spectrum plus its waveform.
    void add_synthesised(const float* real, const float* imag, std::size_t samples, float* audio) {
        const std::size_t count = frames(samples);
        // The transform is not divided by its size, the windows over a sample sum to 1.5, and the norm was a root.
        const float norm = std::sqrt(static_cast<float>(size_)) / (1.5F * static_cast<float>(size_));
        for (std::size_t t = 0; t < count; ++t) {
            for (std::size_t f = 0; f < bins(); ++f) bins_[f] = {real[f * count + t], imag[f * count + t]};
            bins_.front().i = 0;
            bins_.back() = {0, 0};
            kiss_fftri(inverse_.get(), bins_.data(), frame_.data());
            const std::size_t begin = t * hop_;
            const std::size_t end = std::min(begin + size_, lead() + samples);
            for (std::size_t place = std::max(begin, lead()); place < end; ++place)
                audio[place - lead()] += frame_[place - begin] * window_[place - begin] * norm;
        }
    }

  private:
    using Plan = std::unique_ptr<kiss_fftr_state, void (*)(void*)>;

    std::size_t size_;
    std::size_t hop_;
    std::vector<float> window_;
    std::vector<float> frame_;
    std::vector<kiss_fft_cpx> bins_;
    Plan forward_;
    Plan inverse_;

    // Samples before the song in its first frame.
    std::size_t lead() const { return hop_ / 2 * 3; }
};

}  // namespace separator
