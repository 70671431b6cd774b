#!/usr/bin/env bash
# The guide's six scripts in its order, on generated scenes that the network was not trained on, through ONNX Runtime.
#
#   bash demo/run.sh          PYTHON=... IMAGES=40 SEED=1 WORK=build/demo change the interpreter, the set, the place
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
work=${WORK:-$root/build/demo}
name=w16_512
overrides=(--cfg "$root/experiments/demo/$name.yaml")

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() {
  printf '$ python3 %s\n' "${*/#$root\//}"
  "$python" "$@"
}

# Only a folder that this script made is removed.
mark=.made_by_higherhrnet
made="made by higherhrnet: demo/run.sh"
if [[ -L $work || ( -e $work && ! -d $work ) ||
      ( -n $(ls -A "$work" 2>/dev/null) && $(cat "$work/$mark" 2>/dev/null) != "$made" ) ]]; then
  echo "error: WORK=$work holds files that the demo did not make; give a new or empty folder" >&2
  exit 1
fi
rm -rf "$work"
mkdir -p "$work/models"
echo "$made" > "$work/$mark"
cp "$root/demo/weights/$name.pth" "$work/models/"
cd "$work"
export PYTHONPATH=$root

say "scenes: held out, never trained on"
run -m demo.scenes --output data/coco --images "${IMAGES:-40}" --seed "${SEED:-1}"
say "1. images to inputs"
run "$root/HigherHRNet_preprocess.py" --output prep_bin --output_flip prep_bin_flip "${overrides[@]}"
say "2. lists of inputs"
run "$root/gen_dataset_info.py" bin prep_bin ./prep_bin
run "$root/gen_dataset_info.py" bin prep_bin_flip ./prep_bin_flip
say "3. checkpoint to ONNX"
run "$root/HigherHRNet_pth2onnx.py" --weights "models/$name.pth" "${overrides[@]}"
say "4. inference"
run "$root/HigherHRNet_benchmark.py" --bs 1 --backend onnxruntime "${overrides[@]}"
say "5. people and average precision"
run "$root/HigherHRNet_postprocess.py" --dump_dir result/dumpOutput_device0_bs1 \
  --dump_dir_flip result/dumpOutput_device0_bs1_flip --vis_dir people --vis_count 24 \
  --report report.html "${overrides[@]}"
say "6. performance, images per second"
run "$root/HigherHRNet_performance.py"
say "7. the same network on pictures and a video, nothing on disk between"
run -m demo.clip --output clip.mp4
run -m higherhrnet predict data/coco/images/val2017 clip.mp4 --output poses --save json,images,video --track \
  "${overrides[@]}"
say "people found, left limbs blue, right limbs orange"
run -m demo.contact_sheet people contact_sheet.png
echo "what the AP is made of: $work/report.html"
echo "This network is a demonstration on drawn scenes; people in photographs need the official weights."
