#!/bin/bash
# On a GPU host: trtexec over all input shapes of the guide, in float16, one engine for all of them; the logs stay in
# result/trtexec. Needs trtexec on PATH and an idle GPU (nvidia-smi); common.sh names the variables it obeys.
#
#     bash tests/perf_g.sh
set -Eeuo pipefail
source "$(dirname "$0")/common.sh"

need_weights
export_onnx
say "performance" "$PYTHON" "$ROOT/HigherHRNet_performance.py" --backend trtexec "${MODEL[@]:0:4}" "${CONFIG[@]}"
