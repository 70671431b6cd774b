# What the guide's chains share; sourced by them. Not a test by itself.
#
# Environment, all optional:
#   WEIGHTS  checkpoint                    models/pose_higher_hrnet_w32_512.pth
#   CFG      yaml of the network           the scripts' default
#   OPTS     KEY VALUE overrides           none
#   BS       batch size                    1
#   BACKEND  auto, benchmark, ascend, ...   auto
#   SOC_VERSION  chip, e.g. Ascend310P3    npu-smi's
#   PYTHON   interpreter                   python3

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}
WEIGHTS=${WEIGHTS:-models/pose_higher_hrnet_w32_512.pth}
BS=${BS:-1}
BACKEND=${BACKEND:-auto}
ONNX="models/$(basename "${WEIGHTS%.*}")_bs${BS}_dynamic.onnx"

# A failing command ends the script; what it was is the last line of its output.
trap 'status=$?; echo "failed with status $status: $BASH_COMMAND" >&2; exit $status' ERR

datasets_path=
for argument in "$@"; do
    case $argument in
        --datasets_path=*) datasets_path=${argument#*=} ;;
        *)
            echo "usage: bash $0 --datasets_path=DIR (found $argument)" >&2
            exit 2
            ;;
    esac
done

# DIR itself, or the coco folder in it, as long as it has annotations/ and images/.
if [[ -n $datasets_path && ! -d $datasets_path/annotations && -d $datasets_path/coco ]]; then
    datasets_path=$datasets_path/coco
fi

# Arrays that are never empty: before bash 4.4, set -u takes an empty one for an unset variable.
CONFIG=(--cfg "${CFG:-$ROOT/experiments/coco/higher_hrnet/w32_512_adam_lr1e-3.yaml}")
# shellcheck disable=SC2206  # words on purpose: KEY VALUE KEY VALUE
CONFIG+=(${OPTS:-})
MODEL=(--bs "$BS" --model "$ONNX")
[[ -z ${SOC_VERSION:-} ]] || MODEL+=(--soc_version "$SOC_VERSION")

# say WHAT COMMAND...: name a step, then run it.
say() {
    echo "== $1"
    "${@:2}"
}

need_datasets() {
    if [[ ! -d $datasets_path/annotations || ! -d $datasets_path/images ]]; then
        echo "error: --datasets_path=$datasets_path has no annotations/ and images/; give COCO's folder" >&2
        exit 1
    fi
}

# An .onnx that was copied here will do.
need_weights() {
    if [[ ! -f $WEIGHTS && ! -f $ONNX ]]; then
        echo "error: no checkpoint $WEIGHTS; download it as the guide says, or set WEIGHTS" >&2
        exit 1
    fi
}

# Export, unless there is an .onnx newer than what it is made from: a new one would have ATC convert again.
export_onnx() {
    if [[ -f $ONNX && ! $WEIGHTS -nt $ONNX && ! ${CFG:-$ONNX} -nt $ONNX ]]; then
        echo "== export: $ONNX is up to date"
        return
    fi
    say "export to $ONNX" "$PYTHON" "$ROOT/HigherHRNet_pth2onnx.py" --weights "$WEIGHTS" --bs "$BS" --output "$ONNX" \
        "${CONFIG[@]}"
}
