"""Take the pictures of the page in docs/images.

Each state in light colours, and some in dark ones and on a phone.

``python docs/page_pictures.py htdemucs.onnx`` does, once ``make web`` has built the page and
``onnx-demucs compile untrained:htdemucs --target web -o htdemucs.onnx`` has made a model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import soundfile

from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.web import SiteServer

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "web" / "page" / "test" / "drive.mjs"
SECONDS, RATE = 20, 44100


def main() -> None:
    """Serve a site with the model, and let the driver take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, metavar="FILE")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images", metavar="DIR")
    parser.add_argument("--browser", default="chromium", metavar="PROGRAM")
    arguments = parser.parse_args()
    browser = shutil.which(arguments.browser)
    if not browser:
        sys.exit(f"error: there is no {arguments.browser}; name a Chromium with --browser")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song, text = folder / "My song.wav", folder / "notes.txt"
        soundfile.write(song, synthetic_song(SECONDS * RATE, RATE).T, RATE)
        text.write_text("no audio", encoding="utf-8")
        write = [sys.executable, "-m", "onnx_demucs_compiler", "web", arguments.model, "--quiet"]
        subprocess.run([*write, "-o", folder / "site"], check=True)
        with SiteServer(folder / "site", 0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            facts = {
                "chromium": browser,
                "url": f"http://127.0.0.1:{server.server_port}/",
                "folder": str(arguments.folder),
                "song": str(song),
                "text": str(text),
            }
            subprocess.run(
                ["node", DRIVER, "pictures"], input=json.dumps(facts), text=True, check=True, timeout=900
            )
            server.shutdown()


if __name__ == "__main__":
    main()
