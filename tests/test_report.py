"""report: the guide's table."""

from __future__ import annotations

from higherhrnet import geometry, report

# The 310 and T4 columns of the guide, by (H, W).
GUIDE_310 = {
    (512, 512): 196, (512, 1024): 87, (1024, 512): 90, (512, 576): 156, (512, 640): 144, (512, 704): 140,
    (512, 768): 117, (512, 832): 110, (512, 896): 100, (512, 960): 101, (576, 512): 156, (640, 512): 142,
    (704, 512): 136, (768, 512): 116, (832, 512): 113, (896, 512): 102, (960, 512): 101,
}  # fmt: skip


def test_rows_come_in_the_guide_s_order():
    assert report.guide_order(geometry.shape_grid(512)) == list(GUIDE_310)


def test_the_guide_s_310_column():
    rows = report.table({"310": {k: float(v) for k, v in GUIDE_310.items()}})
    assert rows[0] == ["Input Shape", "310"]
    assert rows[1] == ["(512,512)", "196"]
    assert len(rows) == 19
    assert rows[-1] == ["avg/min/max", "124/87/196"]


def test_slow_devices_keep_decimals_and_missing_shapes_show():
    rows = report.table({"a": {(512, 512): 1.234, (512, 576): 2.0}, "b": {(512, 512): 20.4}})
    assert rows[1:] == [
        ["(512,512)", "1.23", "20"],
        ["(512,576)", "2.00", "-"],
        ["avg/min/max", "1.62/1.23/2.00", "20/20/20"],
    ]


def test_text_and_markdown_hold_the_same_cells():
    rows = report.table({"310": {(512, 512): 196.0, (512, 1024): 87.0}})
    assert report.as_markdown(rows).splitlines() == [
        "| Input Shape | 310 |",
        "|---|---|",
        "| (512,512) | 196 |",
        "| (512,1024) | 87 |",
        "| avg/min/max | 142/87/196 |",
    ]
    assert report.as_text(rows).splitlines() == [
        "Input Shape         310",
        "-----------------------",
        "(512,512)           196",
        "(512,1024)           87",
        "-----------------------",
        "avg/min/max  142/87/196",
    ]
