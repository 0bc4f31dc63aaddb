#!/usr/bin/env bash
# libsndfile 1.2.2 (in soundfile 0.14.0): Opus 5.1 comes in Vorbis order, and no channel map says so.
#
# One would guess: channels arrive in one order (left, right, centre, LFE, back left, back right),
#   as they do from WAV, W64, CAF and FLAC, or SFC_GET_CHANNEL_MAP_INFO tells the order.
# What happens: an Opus file (channel mapping family 1, RFC 7845 section 5.1.1.2) is delivered as
#   left, CENTRE, right, back left, back right, LFE, and the command answers "no map". FFmpeg
#   reorders the same file to left, right, centre, LFE, back left, back right.
# Why it matters: audio[:, :2] of a film's or a live show's track, the usual way to stereo, is left
#   and right from a FLAC and left and centre from the Opus of the same master: vocals sit hard
#   right, and the stems are those of another mix.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import av
import numpy as np
import soundfile as sf
from soundfile import _ffi, _snd

peaks = np.array([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])  # left, right, centre, LFE, back left, back right
audio = (peaks * np.sin(2 * np.pi * 60 * np.arange(48000) / 48000)[:, None]).astype(np.float32)


def write(path, codec, sample_format):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="5.1")
        stream.codec_context.format = sample_format
        stream.bit_rate = 512000
        whole = av.AudioFrame.from_ndarray(audio.reshape(1, -1), format="flt", layout="5.1")
        whole.sample_rate, whole.pts = 48000, 0
        cut = av.AudioResampler(format=sample_format, layout="5.1", rate=48000,
                                frame_size=stream.codec_context.frame_size)
        for frame in cut.resample(whole):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def peaks_of(channels):
    return np.abs(channels).max(0).astype(float).round(1).tolist()


def by_ffmpeg(path):
    with av.open(path) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return peaks_of(np.concatenate(frames, axis=1).reshape(6, -1).T)


write("a.opus", "libopus", "flt")
write("a.flac", "flac", "s16")
opus, flac = (peaks_of(sf.read(path)[0]) for path in ("a.opus", "a.flac"))
with sf.SoundFile("a.opus") as file:
    told = _snd.sf_command(file._file, 0x1100, _ffi.new("int[6]"), 24)  # SFC_GET_CHANNEL_MAP_INFO
print(f"libsndfile {sf.__libsndfile_version__}, peak of each channel: FLAC {flac}, Opus {opus} "
      f"(channel map told: {bool(told)}), Opus by FFmpeg {by_ffmpeg('a.opus')}")
as_stated = flac == peaks.tolist() and opus == [0.6, 0.4, 0.5, 0.2, 0.1, 0.3] and not told
sys.exit(0 if as_stated and by_ffmpeg("a.opus") == flac else "no longer so")
PY
exit 0
