#!/bin/bash
# The whole guide: inputs, lists, .onnx, .om and inference, AP, the performance table. It works in the current folder
# and goes on where an earlier run stopped; common.sh names the variables it obeys.
#
#     bash tests/eval_acc_perf.sh --datasets_path=data/coco
set -Eeuo pipefail
source "$(dirname "$0")/common.sh"

need_datasets
need_weights
data=(DATASET.ROOT "$datasets_path")
say "preprocess" "$PYTHON" "$ROOT/HigherHRNet_preprocess.py" --output prep_bin --output_flip prep_bin_flip \
    "${CONFIG[@]}" "${data[@]}"
say "list inputs" "$PYTHON" "$ROOT/gen_dataset_info.py" bin prep_bin ./prep_bin
say "list flipped inputs" "$PYTHON" "$ROOT/gen_dataset_info.py" bin prep_bin_flip ./prep_bin_flip
export_onnx
say "infer" "$PYTHON" "$ROOT/HigherHRNet_benchmark.py" --backend "$BACKEND" "${MODEL[@]}" "${CONFIG[@]}"
say "accuracy" "$PYTHON" "$ROOT/HigherHRNet_postprocess.py" --dump_dir "./result/dumpOutput_device0_bs$BS" \
    --dump_dir_flip "./result/dumpOutput_device0_bs${BS}_flip" "${CONFIG[@]}" "${data[@]}"
say "performance" "$PYTHON" "$ROOT/HigherHRNet_performance.py" --bs "$BS"
