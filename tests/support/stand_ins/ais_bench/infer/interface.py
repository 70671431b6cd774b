"""Stand-in for ais_bench's Python interface as in late 2024; with STAND_IN_AIS_OLD as in June 2023.

The names that the two have in common, and those that each has of its own: ais_bench/infer/interface.py of
github.com/Ascend/tools at 9d6da90 (2023) and of github.com/Yanguan619/aclruntime at b00a6c5e (2024).
"""

from __future__ import annotations

from typing import Any

import aclruntime
import numpy as np
import om

from ais_bench.infer.path_security_check import OLD, problem, writable


class _Shared:
    """What both front ends have."""

    def __init__(self, device_id: int, model_path: str, acl_json_path: str | None = None, debug: bool = False,
                 loop: int = 1) -> None:  # fmt: skip
        om.log_call(f"InferSession {device_id} {model_path}")
        self._check(device_id, model_path)
        options = aclruntime.session_options()
        options.loop = loop
        self.session = aclruntime.InferenceSession(model_path, device_id, options)
        self.outputs_names = [value.name for value in self.session.get_outputs()]

    def _check(self, device_id: int, model_path: str) -> None:
        pass

    def get_inputs(self) -> list[aclruntime.tensor_desc]:
        return self.session.get_inputs()

    def get_outputs(self) -> list[aclruntime.tensor_desc]:
        return self.session.get_outputs()

    def set_dynamic_hw(self, w: int, h: int) -> None:
        """The names are the front end's; height goes first all the same."""
        self.session.set_dynamic_hw(w, h)

    def set_dynamic_dims(self, dym_dims: str) -> None:
        self.session.set_dynamic_dims(dym_dims)

    def run(self, feeds: list[np.ndarray], out_array: bool = False) -> list[Any]:
        tensors = [aclruntime.BaseTensor(a.__array_interface__["data"][0], a.nbytes) for a in feeds]
        outputs = self.session.run(self.outputs_names, tensors)
        if not out_array:
            return outputs
        for output in outputs:
            output.to_host()
        return [np.array(output.host()) for output in outputs]


if OLD:

    class InferSession(_Shared):
        """Of June 2023."""

        def sumary(self) -> aclruntime.sumary:
            return self.session.sumary()

        def reset_sumaryinfo(self) -> None:
            self.session.reset_sumaryinfo()

        def finalize(self) -> None:
            self.session.finalize()

        def infer(self, feeds: list[np.ndarray], mode: str = "static", custom_sizes: int = 100000) -> list[np.ndarray]:
            """Knows no dymhw: that mode sets no profile, and the run is then refused."""
            if mode == "dymdims":
                name = self.get_inputs()[0].name
                self.set_dynamic_dims(f"{name}:{','.join(map(str, feeds[0].shape))}")
            return self.run(feeds, out_array=True)

    class MemorySummary:
        @staticmethod
        def get_H2D_time_list() -> list[float]:  # noqa: N802
            return aclruntime.MemorySummary().H2D_time_list

        @staticmethod
        def get_D2H_time_list() -> list[float]:  # noqa: N802
            return aclruntime.MemorySummary().D2H_time_list

        @staticmethod
        def reset() -> None:
            aclruntime.MemorySummary().reset()

else:

    class InferSession(_Shared):  # type: ignore[no-redef]
        """Of September 2024."""

        def _check(self, device_id: int, model_path: str) -> None:
            if why := problem(model_path):
                raise RuntimeError(why)
            if not model_path.endswith(".om") or writable(aclruntime.Path(model_path)):
                raise RuntimeError(f"model_path:{model_path} is illegal. Please check.")
            if not 0 <= device_id <= 255:
                raise ValueError(f"device:{device_id} is illegal. legal value range is [0, 255]")

        def summary(self) -> aclruntime.sumary:
            return self.session.sumary()

        def reset_summaryinfo(self) -> None:
            self.session.reset_sumaryinfo()

        def free_resource(self) -> None:
            self.session.free_resource()

        @staticmethod
        def finalize() -> None:
            aclruntime.InferenceSession.finalize_all()

        def infer(self, feeds: list[np.ndarray], mode: str = "static", custom_sizes: int = 100000,
                  out_array: bool = True) -> list[np.ndarray]:  # fmt: skip
            if mode == "dymhw":
                self.set_dynamic_hw(*feeds[0].shape[2:])
            elif mode == "dymdims":
                name = self.get_inputs()[0].name
                self.set_dynamic_dims(f"{name}:{','.join(map(str, feeds[0].shape))}")
            elif mode != "static":
                raise RuntimeError(f"wrong infer_mode:{mode}")
            return self.run(feeds, out_array)

    class MemorySummary:  # type: ignore[no-redef]
        @staticmethod
        def get_h2d_time_list() -> list[float]:
            return aclruntime.MemorySummary().H2D_time_list

        @staticmethod
        def get_d2h_time_list() -> list[float]:
            return aclruntime.MemorySummary().D2H_time_list

        @staticmethod
        def reset() -> None:
            aclruntime.MemorySummary().reset()
