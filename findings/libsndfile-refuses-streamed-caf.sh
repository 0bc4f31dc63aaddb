#!/usr/bin/env bash
# libsndfile 1.2.2 (in soundfile 0.14.0): a CAF written to a pipe cannot be opened.
#
# One would guess: CAF is the container made for recording without knowing the end. Apple's CAF
#   specification ("Audio Data Chunk") says that the size of the data chunk may be -1, and that the
#   audio then goes on to the end of the file.
# What happens: FFmpeg writes -1 where it cannot seek back, as the specification asks, and reads its
#   file; libsndfile refuses the same file ("malformed"), though it opens AU of unknown size and WAV
#   from a pipe, which hold the same -1.
# Why it matters: stems piped out as CAF, the way past WAV's 4 GiB, open in one half of the Python
#   world (PyAV, torchcodec) and not in the other (soundfile, librosa).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 soundfile==0.14.0 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import av
import numpy as np
import soundfile as sf

pcm = np.random.default_rng(0).integers(-9000, 9000, (1, 2 * 44100), dtype=np.int16)


class Pipe:
    """A file that is only written on, as standard output is."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def write(self, data):
        return self.file.write(data)


def write(form, codec):
    path = f"streamed.{form}"
    pipe = Pipe(path)
    with av.open(pipe, "w", format=form) as container:
        stream = container.add_stream(codec, rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pipe.file.close()
    return path


def frames(path):
    try:
        by_libsndfile = len(sf.read(path)[0])
    except sf.LibsndfileError as error:
        by_libsndfile = error.error_string
    with av.open(path) as container:
        return sum(frame.samples for frame in container.decode(audio=0)), by_libsndfile


wav, au, caf = write("wav", "pcm_s16le"), write("au", "pcm_s16be"), write("caf", "pcm_s16be")
found = {path: frames(path) for path in (wav, au, caf)}
unknown = open(caf, "rb").read().split(b"data", 1)[1][:8] == b"\xff" * 8
print("44100 frames written to a pipe, read by (FFmpeg, libsndfile):", found)
both = 44100, 44100
refused = found[caf][0] == 44100 and isinstance(found[caf][1], str)
sys.exit(0 if found[wav] == found[au] == both and unknown and refused else "no longer so")
PY
exit 0
