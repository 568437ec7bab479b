"""A page with holes, judged in a browser, merged, benched again: the numbers become better founded."""

from __future__ import annotations

import time
from pathlib import Path

from bench_folders import library
from browser import Browser
from stored_benches import store

from qembed.commands.evalset.judgements import merge_judgements
from qembed.report.page import bench_page
from qembed.report.stored import read_bench

JUDGED = 60


def test_round_trip(browser: Browser, tmp_path: Path) -> None:
    made = library(tmp_path / "files", level="page")
    before = read_bench(store(made, tmp_path / "reports"))
    (tmp_path / "page.html").write_text(bench_page(before), encoding="utf-8")
    exported = browser.downloads / "qrels.tsv"
    exported.unlink(missing_ok=True)
    with browser.open(tmp_path / "page.html") as page:
        page.value("localStorage.clear()")
        page.reload()
        page.value("document.getElementById('card').focus()")
        for at in range(JUDGED):
            page.press("01"[at % 2])
        page.value("document.getElementById('export').click()")
        until = time.monotonic() + 20
        while not exported.exists() and time.monotonic() < until:
            time.sleep(0.05)
        page.value("localStorage.clear()")

    merged = merge_judgements(made.eval_set, [exported], judge="a reader")
    assert merged.count("added") == JUDGED
    after = read_bench(store(made, tmp_path / "reports"))

    assert after.document["unjudged"] == before.document["unjudged"] - JUDGED
    for old, new in zip(before.systems, after.systems, strict=True):
        assert new["estimates"]["judged@10"]["mean"] >= old["estimates"]["judged@10"]["mean"]
    old, new = (bench.systems[0]["estimates"] for bench in (before, after))
    assert new["judged@10"]["mean"] > old["judged@10"]["mean"]
    assert new["nDCG@10"] != old["nDCG@10"]
    assert after.document["eval_set"]["sha256"] != before.document["eval_set"]["sha256"]
    assert (made.eval_set / "judgements.jsonl").read_text().count('"judge":"a reader"') == JUDGED
