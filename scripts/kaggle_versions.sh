#!/usr/bin/env bash
# Run the tests with the versions that Kaggle preinstalls, in a virtual environment of their own.
#
#   scripts/kaggle_versions.sh                        the engine's tests and what lies below them
#   scripts/kaggle_versions.sh tests -m slow          anything else: arguments go to pytest
#
#   PYTHON=python3.12       the interpreter
#   VENV=.venv-kaggle       where the environment goes; kept, so that the second time is quick
#   TORCH_INDEX=            https://download.pytorch.org/whl/cpu: 200 MB instead of the 3 GB with CUDA
#
# Too heavy for CI. Exit code: that of pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.12}
VENV=${VENV:-.venv-kaggle}
KAGGLE=(
    "torch==2.10.*"
    "transformers==5.0.*"
    "sentence-transformers==5.4.*"
    "numpy==2.0.*"
    "pandas==2.2.*"
    "accelerate>=1.0"
    "bitsandbytes>=0.45"  # --precision int8 and nf4, which Kaggle's users choose on a T4
)
if [ $# -eq 0 ]; then
    set -- tests/models tests/engine tests/store tests/commands tests/test_kaggle.py
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12) and "Kaggle has Python 3.12; set PYTHON")'
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    "${KAGGLE[@]}" -e '.[offline]' 'hypothesis>=6.100' 'pytest>=8.3'

"$VENV/bin/python" - <<'END'
from importlib.metadata import version
from platform import python_version
names = ("torch", "transformers", "sentence-transformers", "bitsandbytes", "numpy", "pandas", "tokenizers")
print("== Python", python_version(), *(f"{name} {version(name)}" for name in names), sep="\n   ")
END
exec "$VENV/bin/python" -m pytest -q -p no:cacheprovider "$@"
