// Separates a song with the model that is part of this program: SONG.wav OUTDIR [--overlap 0.25] [--copy 0].
//
// With --copy 1 ONNX Runtime copies the model first, as it does unless told otherwise.

#include <cstddef>

#include "arguments.hpp"
#include "model.h"
#include "model.hpp"
#include "song.hpp"

using namespace separator;

int main(int count, char** values) {
    return answer([&] {
        const auto arguments =
            parse(count, values, 2, {"--overlap", "--copy"}, "embedded SONG.wav OUTDIR [--overlap 0.25] [--copy 0]");
        const auto overlap = arguments.overlap();
        const bool copy = arguments.number("--copy", "0 or 1", 0, 1).value_or(0) != 0;
        const auto options = copy ? Model::session_options() : Model::in_place();
        Model model({model_begin, static_cast<std::size_t>(model_size)}, options);
        separate_song(model, arguments.paths[0], arguments.paths[1], overlap);
    });
}
