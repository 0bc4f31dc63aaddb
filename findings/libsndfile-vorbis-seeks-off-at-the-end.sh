#!/usr/bin/env bash
# libsndfile 1.2.2 (in soundfile 0.14.0): a seek into the last page of an Ogg Vorbis file lands
# some frames off, and all that is read from there on is shifted.
#
# One would guess: sf.read(path, start=n) is sf.read(path)[n:], as it is for FLAC, MP3 and Opus.
# What happens: the granule position of the last page is cut to the true length of the song.
#   libsndfile counts back from it by whole blocks, so that after a seek into that page frame n is
#   really frame n + k, with k the frames cut from the last block: 48 for a song of 20 s. No error
#   is raised, and tell() says n. Songs whose length happens to fill the last block are spared.
# Why it matters: separation in segments reads the last segment by a seek. Its stems come out k
#   frames early against the others and against the mix: a click at the seam, and mix minus stems
#   no longer cancels in the last 0.2 s. Read from the start on, or decode the file once.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import soundfile as sf

random = np.random.default_rng(0)


def shift_after_seek(audio, start, form, subtype, rate):
    """Frames by which what is read after a seek lies ahead of the same frames read in one go."""
    sf.write("song", audio, rate, format=form, subtype=subtype)
    whole = sf.read("song")[0]
    part = sf.read("song", start=start, frames=200)[0]
    return [k for k in range(-1000, 1000) if start + k + 200 <= len(whole)
            and np.abs(part - whole[start + k : start + k + 200]).max() < 1e-6]


song = random.uniform(-0.3, 0.3, (882000, 2))
middle = shift_after_seek(song, 441000, "OGG", "VORBIS", 44100)
end = shift_after_seek(song, 880000, "OGG", "VORBIS", 44100)
other_length = shift_after_seek(song[:300001], 299000, "OGG", "VORBIS", 44100)
others = [shift_after_seek(song, 880000, *form) for form in
          (("MP3", "MPEG_LAYER_III", 44100), ("OGG", "OPUS", 48000), ("FLAC", "PCM_16", 44100))]
print(f"libsndfile {sf.__libsndfile_version__}, frames off after a seek: Vorbis in the middle {middle}, "
      f"2000 frames before the end {end}, in a song of 300001 frames {other_length}; "
      f"MP3, Opus, FLAC at the same place {others}")
as_stated = middle == [0] and end == [48] and other_length == [31] and others == [[0], [0], [0]]
sys.exit(0 if as_stated else "no longer so")
PY
exit 0
