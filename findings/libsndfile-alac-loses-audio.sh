#!/usr/bin/env bash
# libsndfile 1.2.2 (in soundfile 0.14.0): "lossless" ALAC in CAF is not lossless.
#
# One would guess: ALAC at 24 or 32 bits gives back what was written, whatever it is.
# What happens: a packet of 4096 frames that does not compress is stored verbatim, and that path
#   is broken. 24 bits stereo: full-scale noise comes back as near silence. 32 bits mono: a drum
#   hit comes back as noise, although FFmpeg decodes the same file right (so here the decoder is
#   at fault; in the 24-bit case FFmpeg finds the same silence, so there it is the encoder).
#   16 bits are right, and so is everything that compresses. No error is raised.
# Why it matters: drum stems hold such packets (attacks, cymbals), the others rarely do. A check
#   with sines or speech passes, and the archive of stems has holes.
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

random = np.random.default_rng(0)


def snr(wanted, got):
    return 10 * np.log10((wanted**2).sum() / max(((wanted - got) ** 2).sum(), 1e-30))


def write_and_read(audio, subtype):
    sf.write("a.caf", audio, 44100, format="CAF", subtype=subtype)
    return snr(audio, sf.read("a.caf", always_2d=True)[0])


def first_packet_by_ffmpeg(audio):
    with av.open("a.caf") as container:
        packet = next(container.decode(audio=0)).to_ndarray().T / 2**31
    return snr(audio[: len(packet)], packet)


noise = random.uniform(-0.9, 0.9, (40960, 2))
hit = random.standard_normal((40960, 1)) * 0.2 * np.exp(-np.arange(40960)[:, None] / 1500)
right = write_and_read(noise, "ALAC_16"), write_and_read(0.01 * noise, "ALAC_24")
noise_24 = write_and_read(noise, "ALAC_24")
noise_24_ffmpeg = first_packet_by_ffmpeg(noise)
hit_32 = write_and_read(hit, "ALAC_32")
hit_32_ffmpeg = first_packet_by_ffmpeg(hit)
print(f"libsndfile {sf.__libsndfile_version__}, SNR in dB: noise in 16 bits {right[0]:.0f}, quiet noise "
      f"in 24 bits {right[1]:.0f}, noise in 24 bits {noise_24:.1f} (by FFmpeg {noise_24_ffmpeg:.1f}), "
      f"drum hit in 32 bits {hit_32:.1f} (by FFmpeg {hit_32_ffmpeg:.0f})")
as_stated = min(right) > 80 and noise_24 < 1 and noise_24_ffmpeg < 1 and hit_32 < 0 and hit_32_ffmpeg > 150
sys.exit(0 if as_stated else "no longer so")
PY
exit 0
