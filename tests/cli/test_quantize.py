"""higherhrnet quantize: from inputs to a file in INT8, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from higherhrnet.artifacts import claim
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.cli import benchmark, postprocess, program, quantize
from higherhrnet.model import quantization, quantized
from higherhrnet.model.ort import onnxruntime
from higherhrnet.stages import quantize as stage
from tests.support.datasets import TINY_CONFIG, write_dataset
from tests.support.networks import relative
from tests.support.programs import CPU

pytestmark = pytest.mark.slow

CFG = ("--cfg", str(TINY_CONFIG))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tiny_onnx: Path, tiny_inputs: Path) -> Callable[..., tuple[int, str]]:
    """Run the command on tiny's model and inputs with these arguments; status and all that was printed."""

    def run(*args: object, trees: tuple[Path, Path] | None = None, model: Path | None = None) -> tuple[int, str]:
        plain, flip = trees or (tiny_inputs / "bins", tiny_inputs / "bins_flip")
        capsys.readouterr()
        given = ["--model", model or tiny_onnx, "--inputs", plain, "--inputs_flip", flip, *args, *CFG]
        status = program.run(quantize.main, [str(arg) for arg in given])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


@pytest.fixture(scope="module")
def int8(tiny_onnx: Path, tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("int8") / "tiny_int8.onnx"
    trees = ["--inputs", str(tiny_inputs / "bins"), "--inputs_flip", str(tiny_inputs / "bins_flip")]
    quantize.main(["--model", str(tiny_onnx), *trees, "--output", str(output), *CFG])
    return output


def test_the_file_says_what_it_is_of(int8: Path, tiny_onnx: Path):
    found = quantized.read(int8)
    assert found is not None
    assert found.work is not None
    work = found.work
    assert (work.target, work.weight_bits, work.keep_float) == ("cpu", 7, [])
    assert sorted(work.indices) == sorted(work.flipped) == list(range(7))  # all there are
    assert len(work.pictures) == 7
    before, after = ({p.key: p.value for p in onnx.load(file).metadata_props} for file in (tiny_onnx, int8))
    assert {key: after[key] for key in before} == before
    assert quantized.pictures(int8) == frozenset(work.pictures)
    assert quantized.read(tiny_onnx) is None


def test_again_it_is_up_to_date_and_overwritten_the_same_bytes(int8: Path, call: Callable[..., tuple[int, str]]):
    before = int8.read_bytes()
    status, said = call("--output", int8)
    assert (status, "is up to date" in said) == (0, True)
    status, said = call("--output", int8, "--overwrite")
    assert status == 0
    assert "up to date" not in said
    assert int8.read_bytes() == before


def test_of_inputs_that_nothing_is_known_of_it_is_made_each_time(int8: Path, tiny_onnx: Path, tmp_path: Path):
    """Without a record of theirs, others may lie there now."""
    found = quantized.read(int8)
    assert found is not None
    assert found.work is not None
    made = onnx.load(int8)
    for pictures in (found.work.pictures, []):
        work = replace(found.work, pictures=pictures)
        stage.write(onnx.load(tiny_onnx), made, work, tmp_path / "x.onnx")
        assert stage.is_there(tmp_path / "x.onnx", work) == bool(pictures)


def test_outputs_stay_near_float32(int8: Path, tiny_onnx: Path, tiny_inputs: Path):
    """Over calibration inputs of two shapes; a wrong scale or axis would differ by the values themselves."""
    sessions = [onnxruntime.InferenceSession(str(file)) for file in (tiny_onnx, int8)]
    for shape in ((128, 192), (192, 128)):
        file = next((tiny_inputs / f"bins/shape_{shape[0]}x{shape[1]}").glob("*.bin"))
        batch = np.fromfile(file, np.float32).reshape(1, 3, *shape)
        expected, found = (session.run(None, {"input": batch}) for session in sessions)
        for ours, theirs in zip(found, expected, strict=True):
            assert relative(ours, theirs) < 0.1


def test_images_of_the_evaluation_set_are_refused_or_said(
    call: Callable[..., tuple[int, str]],
    tiny_data: Path,
    tiny_inputs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """Refused by the configuration's data set; once allowed, figures say it."""
    output = tmp_path / "x_int8.onnx"
    root = ("DATASET.ROOT", tiny_data)
    status, said = call("--output", output, *root)
    assert status == 1
    assert "which the configuration evaluates" in said
    assert not output.exists()
    status, said = call("--output", output, "--allow_evaluation_images", "--count", 10, *root)
    assert status == 0
    assert "figures over them will say so" in said
    found = quantized.read(output)
    assert found is not None
    assert found.work is not None
    images = len(set(found.work.indices) | set(found.work.flipped))
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    benchmark.main([*lists, *CPU, "--model", str(output), "--result", str(tmp_path / "result"), *CFG])
    dumps = tmp_path / "result/dumpOutput_device0_bs1"
    made = claim.read(dumps, DumpsWork)
    assert made is not None
    assert made.facts.calibrated_on == sorted(set(found.work.indices) | set(found.work.flipped))
    capsys.readouterr()
    where = ["--dump_dir", str(dumps), "--dump_dir_flip", f"{dumps}_flip", "--workers", "1", *CFG]
    postprocess.main([*where, "DATASET.ROOT", str(tiny_data), "OUTPUT_DIR", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"=> the network was calibrated on {images} of these images: the figures flatter it" in said


def of_other_pictures(directory: Path) -> None:
    """Let dumps be of another data set of equal names, sizes and order."""
    made = claim.read(directory, DumpsWork)
    assert made is not None
    assert made.work.inputs is not None
    work = replace(made.work, inputs=replace(made.work.inputs, pictures="b" * 64))
    claim.write(directory, replace(made, work=work))


@pytest.mark.slow
def test_max_drop_gives_layers_back_until_it_holds(
    call: Callable[..., tuple[int, str]],
    tiny_data: Path,
    tiny_inputs: Path,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """AP is said to fall until two blocks have been given back."""
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    result = tmp_path / "result"
    benchmark.main([*lists, *CPU, "--model", str(tiny_onnx), "--result", str(result), *CFG])
    judged: list[int] = []

    class Found:
        images = 7

        def __init__(self, ap: float) -> None:
            self.figures = {"AP": ap}

    def find(backend: object, *_: object, **__: object) -> Found:
        judged.append(len(judged))
        return Found(-1.0 if len(judged) < 3 else 1.0)

    monkeypatch.setattr(quantize.accuracy, "find", find)
    monkeypatch.setattr(quantization, "block_of", lambda name: name.strip("/")[0])  # c, l, t, s and d: five are enough
    output = tmp_path / "x_int8.onnx"
    what = ("--max_drop", 0.005, "--dumps", result / "dumpOutput_device0_bs1", *lists, "--allow_evaluation_images")
    status, said = call("--output", output, *what, "DATASET.ROOT", tiny_data)
    assert status == 0, said
    of_other_pictures(result / "dumpOutput_device0_bs1")
    status, refused = call("--output", tmp_path / "y.onnx", *what, "DATASET.ROOT", tiny_data)
    assert (status, "are not of the inputs that" in refused, "other pictures" in refused) == (1, True, True), refused
    assert len(judged) == 3
    assert said.count("AP ") == 3
    found = quantized.read(output)
    assert found is not None
    assert found.work is not None
    assert found.work.keep_float


def test_layers_that_are_named_stay_float32(call: Callable[..., tuple[int, str]], tmp_path: Path):
    output = tmp_path / "x_int8.onnx"
    assert call("--output", output, "--keep_float", "heads,stage4", "--count", 10)[0] == 0
    found = quantized.read(output)
    assert found is not None
    assert found.work is not None
    assert found.work.keep_float
    assert all(name.startswith("/stage4") for name in found.work.keep_float)
    made = onnx.load(output)
    integers = {t.name for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT8}
    of_stage4 = [name for name in integers if "stage4" in name and name.endswith("_quantized")]
    assert not of_stage4
    status, said = call("--output", output, "--keep_float", "stage9")
    assert (status, "--keep_float stage9: no layer is called so" in said) == (1, True)


def test_what_cannot_be_quantized_is_said_in_a_line(
    call: Callable[..., tuple[int, str]], int8: Path, tiny_inputs: Path, tmp_path: Path
):
    def refused(*args: object, **kwargs: object) -> str:
        status, said = call("--output", tmp_path / "y.onnx", *args, **kwargs)
        assert status == 1
        assert len(said.strip().splitlines()) == 1, said
        return said

    assert "is quantized already" in refused(model=int8)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(int8.read_bytes()[:5000])
    assert "is not an ONNX file" in refused(model=damaged)
    assert "--max_drop goes with --dumps" in refused("--max_drop", 0.1)
    small = write_dataset(tmp_path / "small", ((300, 300),) * 2)
    trees = tmp_path / "a", tmp_path / "b"
    from higherhrnet.cli import preprocess  # noqa: PLC0415

    preprocess.main(
        ["--output", str(trees[0]), "--output_flip", str(trees[1]), "--workers", "1", *CFG, "DATASET.ROOT", str(small)]
    )
    assert f"{trees[0]} with {trees[1]} holds 4 inputs, expected at least 10" in refused(trees=trees)
    assert "--count is 9, expected at least 10 inputs to calibrate on" in refused("--count", 9)
    copy = tmp_path / "copy"
    shutil.copytree(tiny_inputs / "bins", copy)
    file = next(copy.glob("shape_*/*.bin"))
    values = np.fromfile(file, np.float32)
    values[7] = np.nan
    values.tofile(file)
    status, said = call("--output", tmp_path / "y.onnx", trees=(copy, tiny_inputs / "bins_flip"))
    assert status == 1
    assert f"calibration input {file} holds NaN" in said
    assert "exchange it with --inputs_flip" in refused(trees=(tiny_inputs / "bins_flip", tiny_inputs / "bins"))
    assert "of another network than config" in refused("MODEL.EXTRA.DECONV.NUM_CHANNELS", "[8]")


def test_of_other_shapes_joints_or_for_atc_it_is_refused(
    int8: Path, tiny_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Before anything runs. Ranges of inputs of short side 128 say nothing of larger ones."""
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    result = tmp_path / "result"

    def refused(*args: str) -> str:
        capsys.readouterr()
        assert program.run(benchmark.main, [*lists, "--model", str(int8), "--result", str(result), *args]) == 1
        assert not result.exists()
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    larger = refused(*CPU, *CFG, "DATASET.INPUT_SIZE", "256")
    assert f"model {int8} was calibrated on inputs of short side 128" in larger
    assert "DATASET.INPUT_SIZE 256" in larger
    joints = ("DATASET.NUM_JOINTS", "14", "MODEL.NUM_JOINTS", "14")
    assert f"{int8} has 17 joints" in refused(*CPU, *CFG, *joints)
    assert "is quantized, and ATC takes no QDQ nodes" in refused("--backend", "benchmark", *CFG)


def test_a_record_that_somebody_changed_is_refused(int8: Path, tmp_path: Path):
    model = onnx.load(int8)
    for entry in model.metadata_props:
        if entry.key == quantized.KEY:
            entry.value = json.dumps({"format": 1, "work": {"onnx": 3}})
    changed = tmp_path / "changed.onnx"
    onnx.save(model, changed)
    with pytest.raises(quantize.UserError, match="its record of quantization: found other fields than expected"):
        quantized.read(changed)


def test_amct_gets_its_files(call: Callable[..., tuple[int, str]], tmp_path: Path):
    folder = tmp_path / "amct"
    command = ("--target", "ascend", "--output", folder, "--count", 10)
    status, said = call(*command)
    assert status == 0, said
    assert said.splitlines()[0].startswith("# never run by its makers")
    assert f"python3 {folder}/quantize.py" in said
    lines = (folder / "calibration.txt").read_text().splitlines()
    assert len(lines) == 10
    height, width, file = lines[0].split(" ", 2)
    assert Path(file).stat().st_size == 3 * int(height) * int(width) * 4
    assert 'skip_layers: "Conv_1818"\nskip_layers: "Conv_1851"' in (folder / "quant.cfg").read_text()
    compile((folder / "quantize.py").read_text(), "quantize.py", "exec")

    for flag, value in (("--threads", 1), ("--weight_bits", 8)):
        status, said = call(*command, flag, value)
        assert (status, "are not for --target ascend, where AMCT calibrates; omit them" in said) == (1, True)
    assert call(*command)[0] == 0
    edited = folder / "quant.cfg"  # as --keep_float's message advises
    edited.write_text('skip_layers: "mine"\n')
    status, said = call(*command)
    assert (status, f"{edited} is a file that this command did not make" in said) == (1, True)
    assert "mine" in edited.read_text()
    assert call(*command, "--overwrite")[0] == 0
    assert "mine" not in edited.read_text()
