"""Join the results of all shards, of ``run`` or of the six scripts, and print the figures of the whole.

    python3 -m higherhrnet merge
    python3 -m higherhrnet merge --results a/keypoints_val2017_results_1of2.json b/keypoints_val2017_results_2of2.json

Refuses shards that are incomplete, overlap or are of different work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from higherhrnet.cli import figures, flags, uses
from higherhrnet.dataset import coco, evaluation
from higherhrnet.errors import UserError
from higherhrnet.stages import merge, results_file

_SHARD = re.compile(r"_[0-9]+of[0-9]+\.json")


def main(argv: Sequence[str] | None = None) -> None:
    """Merge and print the ten figures."""
    parser = flags.parser(__doc__, "merge")
    parser.add_argument(
        "--results", type=Path, nargs="+", default=[], metavar="FILE", help="of the shards; the config's without it"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that this program did not make")
    flags.add_config(parser)
    args, config = flags.parse(parser, argv)
    uses.check("merge", argv)
    evaluation.require()
    dataset = coco.load(config.location.annotations, config.protocol)
    whole = config.results_file()
    found = sorted(whole.parent.glob(f"{whole.stem}_*.json"))
    shards = args.results or [file for file in found if _SHARD.fullmatch(file.name.removeprefix(whole.stem))]
    if not shards:
        raise UserError(f"{whole.parent} holds no {whole.stem}_IofN.json; run the shards, or name their files")
    results_file.check(whole, overwrite=args.overwrite, inputs=shards)
    made, notes = merge.run(
        dataset, config.location, shards, whole, joints=config.result_joints, overwrite=args.overwrite
    )
    for note in notes[:1]:  # the others are of the same folder
        print(f"note: {note}")
    figures.say(
        dataset,
        whole,
        made,
        config.network,
        protocol=config.protocol,
        of=f" of {len(shards)} shards",
    )
