"""Pictures of a report page for docs, one per section.

.venv/bin/python scripts/report_screenshots.py PAGE.html docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser import Browser

SECTIONS = {"verdict": (1060, False), "charts": (1100, True), "queries": (1100, False), "judge": (900, False)}
"""Section -> height of the picture, and whether the page is dark."""


def main(page: Path, folder: Path) -> None:
    """Write ``report-SECTION.png`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for section, (height, dark) in SECTIONS.items():
            with browser.open(page, width=1280, height=height, dark=dark) as opened:
                opened.value("document.querySelector('#list .row').click()")
                if section == "judge" and not opened.value("document.querySelector('#card h3') !== null"):
                    print("all is judged: the picture of judging stays as it is", file=sys.stderr)
                    continue
                opened.value(f"document.getElementById('{section}').scrollIntoView()")
                opened.screenshot(folder / f"report-{section}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
