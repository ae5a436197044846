"""`python -m isomesh_dagster_tests.browser`: the UI from end to end, in a real browser against the real `dagster dev`.

A fresh copy of the sample project is loaded, built, audited, planned, promoted and rolled back by clicks and keys
alone; each page must say what it should. Exits with 1 when one does not. With --docs the pictures of docs/ are renewed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from isomesh_dagster_tests.browser.person import browser, sit_down
from isomesh_dagster_tests.browser.site import serve
from isomesh_dagster_tests.browser.story import CHAPTERS

_DOCS = Path(__file__).parents[2] / "docs" / "images"


def main() -> int:
    """Parse the command line and tell the story; the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m isomesh_dagster_tests.browser",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--docs", action="store_true", help="renew the pictures of docs/")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep project, log and pictures in this new folder")
    options = parser.parse_args()
    chromium = browser()
    if chromium is None:
        print("no Chromium on PATH; on Debian: apt-get install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="isomesh-browser-") as temporary:
        folder = Path(temporary)
        if options.keep is not None:
            folder = options.keep.resolve()
            folder.mkdir(parents=True)
        pictures = folder / "pictures"
        pictures.mkdir()
        with serve(folder) as site, sit_down(chromium, site, pictures) as person:
            for chapter in CHAPTERS:
                began = time.monotonic()
                chapter(person, site)
                print(f"{chapter.__name__:<10} {time.monotonic() - began:5.1f} s  {chapter.__doc__}", flush=True)
        if options.docs:
            for picture in pictures.glob("*.png"):
                # a palette of 256 colours: nobody sees it, and the repository keeps every picture for good
                Image.open(picture).convert("RGB").quantize(256).save(_DOCS / picture.name, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
