"""Stage 2: list the network inputs (or images) for the benchmark tool.

    python3 gen_dataset_info.py bin prep_bin ./prep_bin
    python3 gen_dataset_info.py bin prep_bin_flip ./prep_bin_flip

Writes NAME.info with all inputs and NAME_{H}x{W}.info for each shape; a line is 'index path width height'.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from higherhrnet.cli import flags, uses
from higherhrnet.stages import dataset_info

_SHOWN = 5  # names


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage and print what was written."""
    parser = flags.parser(__doc__, "dataset_info")
    parser.add_argument("file_type", choices=("bin", "jpg"), help="bin: a tree of inputs; jpg: a folder of images")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the tree or folder")
    parser.add_argument("name", metavar="NAME", help="path of the lists to write, without .info")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are no lists")
    flags.add_shard(parser)
    args = parser.parse_args(argv)
    uses.check("dataset_info", argv)

    list_files = dataset_info.list_inputs if args.file_type == "bin" else dataset_info.list_images
    everything, *by_shape = list_files(args.directory, args.name, args.shard, overwrite=args.overwrite)
    if args.file_type == "jpg" and (others := dataset_info.not_listed(args.directory)):
        names = ", ".join(others[:_SHOWN]) + ", ..." * (len(others) > _SHOWN)
        print(f"{len(others)} other files and folders of {args.directory} are not listed: {names}")
    print(f"{everything}" + (f" and {len(by_shape)} lists by shape" if by_shape else ""))
