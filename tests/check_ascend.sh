#!/bin/bash
# The first ten minutes on a card: the outputs of one picture on each runner that is here, against ONNX Runtime's, and
# what to report back, which is printed and kept in check_ascend/report.txt. It works in the current folder, on models/
# and check_ascend/; common.sh names the variables it obeys, and here also
#   BACKENDS  runners to try               ascend ais_bench benchmark
#
#     bash tests/check_ascend.sh --datasets_path=data/coco
set -Eeuo pipefail
source "$(dirname "$0")/common.sh"

need_datasets
need_weights
mkdir -p check_ascend
exec > >(tee check_ascend/report.txt) 2>&1
trap - ERR
read -r -a backends <<< "${BACKENDS:-ascend ais_bench benchmark}"
data=(DATASET.ROOT "$datasets_path")
failed=()

# try WHAT COMMAND...: name a step and run it; a failure is noted, and the next step follows.
try() {
    echo "== $1"
    "${@:2}" || { echo "failed with status $?: $1"; failed+=("$1"); return 1; }
}

echo "== host"
uname -srm
grep -s PRETTY_NAME /etc/os-release || true
echo "ASCEND_HOME_PATH ${ASCEND_HOME_PATH:-is not set, source set_env.sh of CANN in this shell}"
cat "${ASCEND_HOME_PATH:-/nowhere}"/*-linux/ascend_toolkit_install.info 2> /dev/null || true
npu-smi info || echo "npu-smi: status $?"
npu-smi info -t board -i 0 -c 0 || echo "npu-smi info -t board: status $?"
"$PYTHON" - << 'PYTHON'
import importlib.metadata
import platform

print("Python", platform.python_version())
for name in ("numpy", "opencv-python-headless", "numba", "onnxruntime", "ais_bench", "aclruntime", "torch", "torch_npu"):
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        print(name, "is not installed under that name")
PYTHON

export_onnx
infer() {
    "$PYTHON" "$ROOT/HigherHRNet_benchmark.py" --backend "$1" --info check_ascend/prep_bin \
        --info_flip check_ascend/prep_bin_flip --result "check_ascend/$1" "${MODEL[@]:0:4}" "${@:2}" "${CONFIG[@]}"
}
try "one picture" "$PYTHON" "$ROOT/HigherHRNet_preprocess.py" --limit 1 --output check_ascend/inputs \
    --output_flip check_ascend/inputs_flip "${CONFIG[@]}" "${data[@]}"
try "list it" "$PYTHON" "$ROOT/gen_dataset_info.py" bin check_ascend/inputs check_ascend/prep_bin
try "list it mirrored" "$PYTHON" "$ROOT/gen_dataset_info.py" bin check_ascend/inputs_flip check_ascend/prep_bin_flip
try "onnxruntime, the reference" infer onnxruntime
for backend in "${backends[@]}"; do
    try "$backend" infer "$backend" "${MODEL[@]:4}" || continue
    try "$backend against onnxruntime" "$PYTHON" "$ROOT/HigherHRNet_performance.py" \
        --compare "check_ascend/onnxruntime/dumpOutput_device0_bs$BS" "check_ascend/$backend/dumpOutput_device0_bs$BS" \
        --tolerance 0.05 --ap_tolerance 1 --distance 5 "${CONFIG[@]}" "${data[@]}" || true
    try "$backend, images per second" "$PYTHON" "$ROOT/HigherHRNet_performance.py" --result "check_ascend/$backend" \
        "${CONFIG[@]}" || true
done

echo "== to report: check_ascend/report.txt, models/*.atc.log and check_ascend/*/logs"
if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
echo "all of it held"
