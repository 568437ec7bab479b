#!/usr/bin/env bash
# Run tests with the oldest supported versions of sentence-transformers, transformers and qdrant-client.
#
#   scripts/oldest_versions.sh                  what may depend on these libraries
#   scripts/oldest_versions.sh tests/models     anything else: arguments go to pytest
#
#   VENV=.venv-oldest    where the environment goes; kept, so that the second time is quick
#
# It stands on top of .venv (make setup): torch and the rest are shared. Quantised models are tested here only,
# because accelerate and bitsandbytes are not in .venv. Exit code: that of pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=${BASE:-.venv}
VENV=${VENV:-.venv-oldest}
OLDEST=(
    "qdrant-client==1.18.0"
    "transformers==5.0.0"
    "sentence-transformers==5.4.0"
    "accelerate>=1.0"
    "bitsandbytes>=0.45"
)
if [ $# -eq 0 ]; then
    set -- tests/models tests/engine tests/index tests/commands/upload --ignore tests/models/packaged \
        --ignore tests/models/cpu/test_kernels.py --ignore tests/engine/planning
fi

[ -x "$VENV/bin/python" ] || "$BASE/bin/python" -m venv "$VENV"
"$BASE/bin/python" - "$VENV" <<'END'
import sys, sysconfig
from pathlib import Path
base = sysconfig.get_path("purelib")
places = Path(sys.argv[1]).glob("lib/python*/site-packages")
next(places).joinpath("base.pth").write_text(f"import site; site.addsitedir({base!r})\n")
END
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "${OLDEST[@]}"

"$VENV/bin/python" - <<'END'
from importlib.metadata import version
from platform import python_version
names = ("torch", "transformers", "sentence-transformers", "qdrant-client", "accelerate", "bitsandbytes")
print("== Python", python_version(), *(f"{name} {version(name)}" for name in names), sep="\n   ")
END
exec "$VENV/bin/python" -m pytest -q -p no:cacheprovider "$@"
