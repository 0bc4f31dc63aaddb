// Holds spectrum.hpp to golden vectors that `onnx-demucs golden -o DIR` wrote: DIR. Prints decibels, and fails below
// 100.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "spectrum.hpp"

namespace fs = std::filesystem;
using namespace separator;

namespace {

constexpr double least = 100;

struct Array {
    std::vector<std::size_t> shape;
    std::vector<float> numbers;
};

// A file of numpy, version 1.0, of little-endian float32 in C order, on a little-endian machine.
Array load(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string start(10, '\0');
    file.read(start.data(), 10);
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(start[i]); };
    std::string header(byte(8) + 256U * byte(9), '\0');
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    if (!file || start.rfind("\x93NUMPY\x01", 0) != 0 || header.find("'<f4'") == std::string::npos)
        throw Failure(path.string() + ": is no .npy file of float32");
    Array array;
    std::size_t count = 1;
    const std::string sizes = header.substr(header.find('('));
    const std::regex number("[0-9]+");
    for (std::sregex_iterator found(sizes.begin(), sizes.end(), number), end; found != end; ++found) {
        array.shape.push_back(std::stoul(found->str()));
        count *= array.shape.back();
    }
    array.numbers.resize(count);
    file.read(reinterpret_cast<char*>(array.numbers.data()), static_cast<std::streamsize>(count * sizeof(float)));
    if (!file) throw Failure(path.string() + ": ends too early");
    return array;
}

double decibels(const std::vector<float>& wanted, const std::vector<float>& found) {
    double signal = 0;
    double wrong = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        signal += static_cast<double>(wanted[i]) * wanted[i];
        wrong += (static_cast<double>(wanted[i]) - found[i]) * (static_cast<double>(wanted[i]) - found[i]);
    }
    return 10 * std::log10(signal / wrong);
}

// The files of an interface: real and imaginary parts in one array, one after the other for each channel, or in two.
struct Interface {
    std::string name;
    std::string mix;
    std::vector<std::string> spectrum_in;
    std::vector<std::string> spectrum_out;
    std::string waveform_out;
};

const std::vector<Interface> interfaces{
    {"core", "mix", {"mag"}, {"spec_out"}, "time_out"},
    {"spectral", "audio", {"spec_real", "spec_imag"}, {"out_spec_real", "out_spec_imag"}, "out_wave"},
    {"openkara", "mix", {"spectral"}, {"spectral_out"}, "time_out"},
};

// Where real and imaginary parts of a channel lie in one array or two.
template <typename Arrays>
auto plane(Arrays& arrays, std::size_t channel, std::size_t part, std::size_t size) {
    return arrays.size() == 1 ? &arrays[0].numbers[(2 * channel + part) * size] : &arrays[part].numbers[channel * size];
}

bool holds(const fs::path& dir, const Interface& interface) {
    const auto file = [&](const std::string& name) { return load(dir / interface.name / (name + ".npy")); };
    const auto files = [&](const std::vector<std::string>& names) {
        std::vector<Array> arrays;
        for (const auto& name : names) arrays.push_back(file(name));
        return arrays;
    };
    const Array mix = file(interface.mix);
    const std::vector<Array> wanted = files(interface.spectrum_in);
    const std::size_t samples = mix.shape.back();
    const std::size_t bins = wanted[0].shape[wanted[0].shape.size() - 2];
    Spectrum spectrum(2 * bins);
    const std::size_t size = bins * spectrum.frames(samples);

    std::vector<Array> found = wanted;
    for (Array& array : found) std::fill(array.numbers.begin(), array.numbers.end(), 0.0F);
    for (std::size_t c = 0; c < mix.numbers.size() / samples; ++c)
        spectrum.analyse(&mix.numbers[c * samples], samples, plane(found, c, 0, size), plane(found, c, 1, size));
    double worst = decibels(wanted[0].numbers, found[0].numbers);
    if (wanted.size() > 1) worst = std::min(worst, decibels(wanted[1].numbers, found[1].numbers));

    const std::vector<Array> out = files(interface.spectrum_out);
    Array stems = file(interface.waveform_out);
    for (std::size_t c = 0; c < stems.numbers.size() / samples; ++c)
        spectrum.add_synthesised(plane(out, c, 0, size), plane(out, c, 1, size), samples, &stems.numbers[c * samples]);
    const double inverse = decibels(file("separated").numbers, stems.numbers);
    std::cout << interface.name << ": STFT " << worst << " dB, stems " << inverse << " dB\n";
    return std::min(worst, inverse) >= least;
}

void run(const Arguments& arguments) {
    bool all = true;
    for (const Interface& interface : interfaces) all = holds(arguments.paths[0], interface) && all;
    if (!all) throw Failure("the STFT is not that of the vectors");
}

}  // namespace

int main(int count, char** values) {
    return answer([&] { run(parse(count, values, 1, {}, "golden DIR")); });
}
