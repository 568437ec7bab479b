"""Pictures of a report page for docs: 1280 and 390 pixels wide, light and dark.

.venv/bin/python scripts/report_screenshots.py PAGE.html docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser import Browser

SECTIONS = {"verdict": 900, "charts": 1100, "queries": 1100, "judge": 900}
"""Section -> height of the picture."""


def main(page: Path, folder: Path) -> None:
    """Write ``report-SECTION-WIDTH[-dark].png`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
            for section, height in SECTIONS.items():
                with browser.open(page, width=width, height=height, dark=dark) as opened:
                    opened.value("document.querySelector('#list .row').click()")
                    opened.value(f"document.getElementById('{section}').scrollIntoView()")
                    opened.screenshot(folder / f"report-{section}-{width}{'-dark' if dark else ''}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
