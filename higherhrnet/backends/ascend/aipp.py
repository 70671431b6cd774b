"""The AIPP configuration: the device normalises uint8 RGB inputs [H, W, 3] itself."""

from __future__ import annotations

from higherhrnet.image.transform import MEAN, STD


def configuration() -> str:
    """The text of ATC's --insert_op_conf file.

    AIPP computes (pixel - min_chn) * var_reci_chn per channel, so min_chn = 255 mean and var_reci_chn = 1 / (255 std).
    The source size is 0: with --dynamic_image_size it comes from the profile.
    """
    lines = [
        "aipp_mode: static",
        "input_format: RGB888_U8",
        "src_image_size_w: 0",
        "src_image_size_h: 0",
        "csc_switch: false",
        *(f"min_chn_{i}: {255 * mean:.10g}" for i, mean in enumerate(MEAN)),
        *(f"var_reci_chn_{i}: {1 / (255 * std):.15g}" for i, std in enumerate(STD)),
    ]
    return "aipp_op {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"
