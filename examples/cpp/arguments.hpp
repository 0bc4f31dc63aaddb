// What a program is called with, and how it ends.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "facts.hpp"

namespace separator {

struct Arguments {
    std::vector<std::filesystem::path> paths;
    std::map<std::string, std::string> options;

    std::optional<double> overlap() const {
        return number("--overlap", "a number, at least 0 and below 1", 0, std::nextafter(1.0, 0.0));
    }

    std::string text(const std::string& option, const std::string& otherwise) const {
        const auto found = options.find(option);
        return found == options.end() ? otherwise : found->second;
    }

    // The number that an option has, or nothing if it is not given.
    std::optional<double> number(const std::string& option, const std::string& kind, double least = 0,
                                 double most = std::numeric_limits<double>::max()) const {
        const auto found = options.find(option);
        if (found == options.end()) return std::nullopt;
        char* end = nullptr;
        const double value = std::strtod(found->second.c_str(), &end);
        if (end == found->second.c_str() || *end != '\0' || !(value >= least && value <= most))
            throw UsageError(option + " takes " + kind);
        return value;
    }
};

// So many paths, and options with a value each.
inline Arguments parse(int count, char** values, std::size_t paths, const std::vector<std::string>& options,
                       const std::string& usage) {
    Arguments arguments;
    for (int i = 1; i < count; ++i) {
        const std::string value = values[i];
        if (value.rfind("--", 0) != 0) {
            arguments.paths.emplace_back(value);
            continue;
        }
        if (std::find(options.begin(), options.end(), value) == options.end())
            throw UsageError("no such option: " + value);
        arguments.options[value] = ++i < count ? values[i] : "";
    }
    if (arguments.paths.size() != paths) throw UsageError("usage: " + usage);
    return arguments;
}

// The exit code; of a failure, after one line on stderr.
template <typename Run>
int answer(Run run) {
    const auto fail = [](const std::exception& error, int code) {
        std::string line = error.what();
        std::replace(line.begin(), line.end(), '\n', ' ');
        std::cerr << "error: " << line << '\n';
        return code;
    };
    try {
        run();
        return 0;
    } catch (const UsageError& error) {
        return fail(error, 2);
    } catch (const std::exception& error) {
        return fail(error, 1);
    }
}

}  // namespace separator
