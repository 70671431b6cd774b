#!/bin/bash
# On a GPU host: trtexec over all input shapes of the guide, in float16, an engine a shape; the logs stay in
# result/trtexec. Needs trtexec on PATH and an idle GPU (nvidia-smi); common.sh names the variables it obeys.
#
#     bash tests/perf_g.sh
set -Eeuo pipefail
source "$(dirname "$0")/common.sh"

need_weights
export_onnx
command -v trtexec > /dev/null || {
    echo "error: trtexec is not on PATH; install TensorRT, or add its bin folder" >&2
    exit 1
}
mkdir -p result/trtexec
size=$(PYTHONPATH=$ROOT "$PYTHON" -c '
import sys
from higherhrnet import config, geometry
cfg = config.load(sys.argv[2], sys.argv[3:])  # after --cfg
print(" ".join(f"{h}x{w}" for h, w in geometry.shape_grid(cfg.DATASET.INPUT_SIZE)))
' "${CONFIG[@]}")
for shape in $size; do
    log=result/trtexec/bs${BS}_$shape.log
    # The input is called input: the guide's image: names none, and trtexec then times another shape.
    status=0
    trtexec --onnx="$ONNX" --fp16 --shapes="input:${BS}x3x$shape" > "$log" 2>&1 || status=$?
    if ((status != 0)) || grep -q "Automatically overriding shape" "$log" || ! grep -q "&&&& PASSED" "$log"; then
        echo "error: trtexec did not measure $shape (status $status); see $log" >&2
        exit 1
    fi
    # TensorRT 8 prints mean = on the line GPU Compute Time, TensorRT 7 a line mean: after the line GPU Compute.
    mean=$(sed -n -e 's/.*GPU Compute Time:.*mean = \([0-9.]*\) ms.*/\1/p' \
        -e '/GPU Compute$/,$ s/.*\] mean: \([0-9.]*\) ms.*/\1/p' "$log" | head -n 1)
    if [[ -z $mean ]]; then
        echo "error: no mean GPU compute time in $log" >&2
        exit 1
    fi
    awk -v shape="$shape" -v mean="$mean" -v batch="$BS" \
        'BEGIN { printf "%s: %.1f images/s, %s ms a batch of %d\n", shape, 1000 * batch / mean, mean, batch }'
done
