#!/usr/bin/env bash
# FFmpeg 8 (PyAV 18.1.0): the end of ALAC in CAF is cut twice, so that a lossless file, FFmpeg's own
# too, comes back up to 4095 frames short.
#
# One would guess: what FFmpeg writes losslessly it reads back whole, as it does in m4a and mov.
# What happens: the last ALAC packet carries its own, shorter length. CAF's packet table says once
#   more how many frames lack to a full packet (mRemainderFrames in Apple's CAF specification,
#   "Packet Table Chunk"), and the demuxer takes that number off the decoded frames again. The
#   stream's duration is right, there is no warning, and the audio is 956 frames (22 ms) short for
#   one second at 44.1 kHz. Files of libsndfile, which reads them whole itself, fare the same.
# Why it matters: Apple's loops and recordings over 4 GiB come in CAF. Stems and mix differ in length
#   when one of them is in another container, and a loop does not close.
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

pcm = np.random.default_rng(0).integers(-1500, 1500, (2, 44100), dtype=np.int16)


def write(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("alac", rate=44100, layout="stereo")
        stream.codec_context.format = "s16p"
        whole = av.AudioFrame.from_ndarray(pcm, format="s16p", layout="stereo")
        whole.sample_rate, whole.pts = 44100, 0
        cut = av.AudioResampler(format="s16p", layout="stereo", rate=44100,
                                frame_size=stream.codec_context.frame_size)
        for frame in cut.resample(whole):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path):
    """Frames told and frames decoded; what is decoded must be exact."""
    with av.open(path) as container:
        told = container.streams.audio[0].duration
        decoded = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert np.array_equal(decoded, pcm[:, : decoded.shape[1]])
    return told, decoded.shape[1]


sf.write("libsndfile.caf", pcm.T, 44100, format="CAF", subtype="ALAC_16")
frames = {path: read(path) for path in (write("ffmpeg.m4a"), write("ffmpeg.caf"), "libsndfile.caf")}
by_libsndfile = len(sf.read("libsndfile.caf")[0])
print(f"44100 frames of ALAC, (told, decoded) by FFmpeg: {frames}; "
      f"libsndfile.caf by libsndfile: {by_libsndfile}")
short = 44100, 44100 - (-44100 % 4096)
as_stated = frames == {"ffmpeg.m4a": (44100, 44100), "ffmpeg.caf": short, "libsndfile.caf": short}
sys.exit(0 if as_stated and by_libsndfile == 44100 else "no longer so")
PY
exit 0
