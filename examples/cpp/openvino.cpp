// Separates a song in OpenVINO with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//
// OpenVINO reads the metadata of ONNX files too. On processors with bfloat16 units it computes in that unless told
// otherwise.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <openvino/openvino.hpp>
#include <string>

#include "arguments.hpp"
#include "facts.hpp"
#include "song.hpp"

namespace fs = std::filesystem;
using namespace separator;

namespace {

class Model : public Facts {
  public:
    explicit Model(const fs::path& path) {
        if (!fs::is_regular_file(path)) throw Failure(path.string() + ": no such file");
        if (path.extension() != ".onnx") throw Failure(path.string() + ": is no .onnx file");
        ov::Core core;
        const auto model = core.read_model(path.native());
        if (model->inputs().size() != 1)
            throw Failure("the model has several inputs; compile it with --interface waveform");
        static_cast<Facts&>(*this) = Facts::of([&](const char* key) -> std::optional<std::string> {
            if (!model->has_rt_info("framework", key)) return std::nullopt;
            return model->get_rt_info<std::string>("framework", key);
        });
        request_ =
            core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32)).create_infer_request();
    }

    Audio run(Audio& mix) {
        ov::Shape shape{channels, mix.length};
        if (!track_overlap) shape.insert(shape.begin(), 1);
        request_.set_input_tensor(ov::Tensor(ov::element::f32, shape, mix.samples.data()));
        request_.infer();
        const ov::Tensor result = request_.get_output_tensor();
        Audio stems(sources.size() * channels, mix.length);
        if (result.get_size() != stems.samples.size())
            throw Failure("the model's output is not what its metadata describes; compile it again");
        std::copy_n(result.data<float>(), stems.samples.size(), stems.samples.begin());
        return stems;
    }

  private:
    ov::InferRequest request_;
};

}  // namespace

int main(int count, char** values) {
    return answer([&] {
        const auto arguments =
            parse(count, values, 3, {"--overlap"}, "openvino MODEL.onnx SONG.wav OUTDIR [--overlap 0.25]");
        const auto overlap = arguments.overlap();
        Model model(arguments.paths[0]);
        separate_song(model, arguments.paths[1], arguments.paths[2], overlap);
    });
}
