"""Pictures of a folder as one sheet.

python3 -m demo.contact_sheet people contact_sheet.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from higherhrnet.artifacts import atomic, outputs
from higherhrnet.cli import flags, program, terminal
from higherhrnet.errors import UserError
from higherhrnet.image import encoder, reader

KIND = "a contact sheet"


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
    outputs.check(args.output, "FILE", ours=outputs.marked(KIND), inputs=files, overwrite=None)
    images = [cv2.cvtColor(reader.read_image(file), cv2.COLOR_RGB2BGR) for file in files]
    sheet = arrange(images, width=args.width)
    atomic.write_bytes(args.output, encoder.png(sheet, KIND))
    print(args.output.resolve())


def arrange(images: Sequence[np.ndarray], *, width: int = 1600, row_height: int = 300, gap: int = 8) -> np.ndarray:
    """Images uint8 [h, w, 3] in justified rows, as one picture of ``width`` pixels on white.

    Images keep their aspect ratio; each row is scaled to fill the width, at about ``row_height``. A last row that is
    not full keeps that height. Raises ValueError for no images.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    rows: list[list[np.ndarray]] = [[]]
    used = 0.0
    for image in images:
        advance = row_height * image.shape[1] / image.shape[0]
        if rows[-1] and used + advance / 2 > width:
            rows.append([])
            used = 0.0
        rows[-1].append(image)
        used += advance + gap
    strips = []
    for row in rows:
        aspects = [image.shape[1] / image.shape[0] for image in row]
        height = min((width - gap * (len(row) + 1)) / sum(aspects), row_height * 1.35)
        strip = np.full((round(height) + gap, width, 3), 255, np.uint8)
        x = float(gap)
        for image, aspect in zip(row, aspects, strict=True):
            left, right = round(x), min(round(x + height * aspect), width)
            size = (right - left, strip.shape[0] - gap)
            strip[gap:, left:right] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            x += height * aspect + gap
        strips.append(strip)
    return np.concatenate([*strips, np.full((gap, width, 3), 255, np.uint8)])


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(program.run(main))
