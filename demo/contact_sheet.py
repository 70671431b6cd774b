"""Pictures of a folder as one sheet.

python3 -m demo.contact_sheet people contact_sheet.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from higherhrnet.artifacts import atomic, outputs
from higherhrnet.cli import flags, program, terminal
from higherhrnet.errors import UserError
from higherhrnet.image import draw, encoder, reader


def main(argv: Sequence[str] | None = None) -> None:
    """Write the sheet and print its path."""
    parser = flags.parser(__doc__, "contact_sheet")
    parser.add_argument("pictures", type=Path, metavar="DIR", help="folder of .jpg files, shown by name")
    parser.add_argument("output", type=Path, metavar="FILE", help="the sheet, a .png")
    parser.add_argument("--width", type=flags.count, default=1600, help="of the sheet, in pixels")
    args = parser.parse_args(argv)

    files = sorted(args.pictures.glob("*.jpg"))
    if not files:
        raise UserError(f"{args.pictures} holds no .jpg files; draw them with HigherHRNet_postprocess.py --vis_dir")
    outputs.check(args.output, "FILE", ours=outputs.is_marked, inputs=files, overwrite=None)
    images = [cv2.cvtColor(reader.read_image(file), cv2.COLOR_RGB2BGR) for file in files]
    sheet = draw.contact_sheet(images, width=args.width)
    atomic.write_bytes(args.output, encoder.png(sheet))
    print(args.output.resolve())


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(program.run(main))
