#!/usr/bin/env bash
# Makes the committed example and the screenshots of the docs again: reports/0001_handbook, docs/images/report-*.png.
# The table of docs/compare.md is of its runs: a test says where it must be written anew.
# Needs the bundled model, Chromium for the screenshots, and about ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

qembed corpus from-markdown docs/ CONTRIBUTING.md -o handbook --model minilm --force
qembed evalset check eval_sets/handbook --corpus handbook
qembed embed handbook -o handbook_vectors --model minilm --force
rm -rf reports/0001_handbook
qembed bench handbook_vectors -e eval_sets/handbook -r maxsim:minilm -o reports
qembed report reports/0001_handbook
python scripts/report_screenshots.py reports/0001_handbook/report.html docs/images
