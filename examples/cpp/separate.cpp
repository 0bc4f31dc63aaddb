// Separates a song with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//
// The arithmetic is that of `onnx-demucs separate --float32`: the track is normalised, cut into segments that
// overlap, and what the model makes of them is added up under triangular weights.

#include "arguments.hpp"
#include "model.hpp"
#include "song.hpp"

using namespace separator;

int main(int count, char** values) {
    return answer([&] {
        const auto arguments =
            parse(count, values, 3, {"--overlap"}, "separate MODEL.onnx SONG.wav OUTDIR [--overlap 0.25]");
        const auto overlap = arguments.overlap();
        Model model(arguments.paths[0]);
        separate_song(model, arguments.paths[1], arguments.paths[2], overlap);
    });
}
