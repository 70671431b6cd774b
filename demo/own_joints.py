"""Generated scenes annotated with other joints than COCO's 17: an example of a data set of one's own.

    python3 -m demo.own_joints --data data/coco --output data/own.json
    python3 -m demo.own_joints --data data/coco --output data/five.json --joints nose,left_wrist,right_wrist

Joints are COCO's, neck (between the shoulders) and pelvis (between the hips), in any number and order; the default is
COCO's and neck. The pictures stay where they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from higherhrnet.artifacts import outputs
from higherhrnet.dataset import joints
from higherhrnet.errors import UserError

BETWEEN = {"neck": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}
"""Joints that COCO lacks, and the two that each lies between."""
EIGHTEEN = (*joints.COCO.names, "neck")


def relabelled(content: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The content of an annotation file of COCO's joints, with those of ``names`` in their place.

    A joint between two others is there where both are, and visible where both are. The skeleton is what is left of
    COCO's.
    """
    people = []
    for row in content["annotations"]:
        person = np.array(row["keypoints"], float).reshape(-1, 3)
        by_name = dict(zip(joints.COCO.names, person, strict=True))
        for name, (a, b) in BETWEEN.items():
            flag = min(by_name[a][2], by_name[b][2])
            by_name[name] = np.append((by_name[a][:2] + by_name[b][:2]) / 2, flag) * (flag > 0)
        keypoints = np.stack([by_name[name] for name in names])
        seen = int((keypoints[:, 2] > 0).sum())
        people.append({**row, "keypoints": keypoints.ravel().tolist(), "num_keypoints": seen})
    limbs = ((joints.COCO.names[a], joints.COCO.names[b]) for a, b in joints.COCO.limbs)
    skeleton = [[names.index(a) + 1, names.index(b) + 1] for a, b in limbs if a in names and b in names]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(names), "skeleton": skeleton}
    return {**content, "annotations": people, "categories": [category]}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the annotation file; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="data set of COCO's layout, as demo.scenes writes one"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="annotation file to write")
    parser.add_argument("--joints", default=",".join(EIGHTEEN), metavar="NAME,...", help="in the order of the maps")
    args = parser.parse_args(argv)
    names = args.joints.split(",")
    known = {*joints.COCO.names, *BETWEEN}
    if len(set(names)) != len(names) or not known.issuperset(names):
        parser.error(f"--joints {args.joints[:80]}: expected names among {', '.join(sorted(known))}, each once")
    source = args.data / "annotations/person_keypoints_val2017.json"
    try:
        outputs.check(args.output, "--output", ours=lambda _: False, inputs=[source], overwrite=None)
        content = relabelled(json.loads(source.read_text()), names)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(content))
    except (UserError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    print(f"{args.output}: {len(content['annotations'])} people of {len(names)} joints")
    return 0


if __name__ == "__main__":
    sys.exit(main())
