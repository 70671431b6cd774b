#!/bin/bash
# Checkpoint to .onnx to .om. Run it where models/ is to be; common.sh names the variables it obeys.
#
#     bash tests/pth2om.sh
set -Eeuo pipefail
source "$(dirname "$0")/common.sh"

need_weights
export_onnx
say "convert" "$PYTHON" "$ROOT/HigherHRNet_benchmark.py" --convert_only "${MODEL[@]}" "${CONFIG[@]}"
