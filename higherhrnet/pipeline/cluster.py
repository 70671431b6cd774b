"""Chunks on the workers of a Dask scheduler that is there already, over a file system that all of them share.

The only module that imports distributed. Every worker must be able to import this package.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path

from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin, as_completed, get_worker

from higherhrnet.artifacts import atomic
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.backends.base import Backend
from higherhrnet.backends.in_process import InProcess
from higherhrnet.backends.select import Inference
from higherhrnet.errors import UserError
from higherhrnet.pipeline.agreement import Agreement, Compared
from higherhrnet.pipeline.chunks import Chunk
from higherhrnet.pipeline.in_memory import InMemory
from higherhrnet.pipeline.steps import Person, Prepared, Settings, Steps
from higherhrnet.system import workers

_CONNECT = 20  # seconds
_Done = tuple[Prepared, list[tuple[int, list[Person]]]]


class _Plugin(WorkerPlugin):
    """Makes the backend once a worker process, when it joins; ``dealt``: the devices of each, by address.

    It has to be what it is here: ``computes`` are its name and its runtime, and the settings have the model's hash.
    """

    def __init__(
        self,
        inference: Inference,
        backend: str,
        settings: Settings,
        dealt: Mapping[str, tuple[int, ...]],
        computes: tuple[str, str],
    ) -> None:
        self.name = f"higherhrnet-{uuid.uuid4().hex[:8]}"
        self._inference, self._backend, self._settings, self._dealt = inference.elsewhere(), backend, settings, dealt
        self._computes = computes
        self.made: Steps | InMemory | None = None
        self.refused = ""
        """Why nothing was made."""

    def setup(self, worker: Worker) -> None:
        settings, inference = self._settings, self._inference
        if devices := self._dealt.get(worker.address, settings.devices):
            settings, inference = replace(settings, device=devices[0], devices=devices), inference.on(devices)
        logs = Path("run_logs")
        backend = inference.backend(self._backend, settings.model, logs=logs, done=lambda _: None)
        if differs := self._other(backend):
            self.refused = f"the Dask worker {worker.address} has another {differs}"
            raise UserError(self.refused)
        if isinstance(backend, InProcess):
            self.made = InMemory(backend, settings, worker.state.nthreads)
        else:
            self.made = Steps(settings, workers.Pool(1), backend)

    def _other(self, backend: Backend) -> str:
        """What a worker's backend has that is not what it is here; '' where nothing is."""
        if backend.model_hash != self._settings.model_hash:
            found, here = backend.model_hash[:12], self._settings.model_hash[:12]
            return f"{self._settings.model} (of digest {found}, here {here})"
        pairs = zip(("backend", "runtime"), (backend.name, backend.runtime), self._computes, strict=True)
        return next((f"{what} ({found}, here {here})" for what, found, here in pairs if found != here), "")

    def teardown(self, worker: Worker) -> None:
        if isinstance(self.made, InMemory):
            self.made.close()


@dataclass(frozen=True)
class Cluster:
    """Connected workers, each with a backend."""

    client: Client
    plugin: str
    slots: int
    """Threads of all workers: chunks in work at a time."""


@contextlib.contextmanager
def connected(
    address: str, inference: Inference, backend: str, settings: Settings, computes: tuple[str, str]
) -> Iterator[Cluster]:
    """Connect to a scheduler and make the backend on each of its workers.

    ``computes`` are the name and the runtime of the backend here.

    Raises
    ------
    UserError : no scheduler there, one without workers, or workers that cannot make the backend, or that have another
        model, runtime or version of this package
    """
    try:
        client = Client(address, timeout=_CONNECT)
    except (OSError, ValueError, TimeoutError) as e:
        raise UserError(f"no Dask scheduler answers at {address} ({' '.join(str(e).split())[:200]}); start one") from e
    with client:
        threads = client.nthreads()
        slots = sum(threads.values())
        if not slots:
            raise UserError(f"the Dask scheduler at {address} has no workers; start some: dask worker {address}")
        plugin = _Plugin(inference, backend, settings, deal(list(threads), settings.devices), computes)
        try:
            check_versions(client)
            client.register_plugin(plugin)
        except Exception as e:  # whatever a worker raised, from ModuleNotFoundError to UserError
            raise UserError(
                f"a Dask worker cannot run the network ({type(e).__name__}: {' '.join(str(e).split())[:300]}); start "
                f"workers with this package on their PYTHONPATH and the model under the same path"
            ) from e
        try:
            yield Cluster(client, plugin.name, slots)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone: that is what is being reported
                client.unregister_worker_plugin(plugin.name)


def check_versions(client: Client) -> None:
    """Refuse workers that would find other people for want of the same versions; their people are one result."""

    def versions() -> dict[str, str]:  # within, so that its code is sent: an older package there has no such function
        def of(module: str, name: str = "__version__") -> str:
            return str(getattr(importlib.import_module(module), name, "none"))

        return {
            "higherhrnet": of("higherhrnet"),
            "version of preprocessing": of("higherhrnet.image.transform", "VERSION"),
            "version of the decode": of("higherhrnet.decode", "VERSION"),
            "OpenCV": of("cv2"),
        }

    here = versions()
    for worker, found in client.run(versions).items():
        for what, wanted in here.items():
            if found[what] != wanted:
                raise UserError(f"the Dask worker {worker} has another {what} ({found[what]}, here {wanted})")


def deal(workers_of: Sequence[str], devices: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The devices of each worker, by its address: those of a host, the same numbers on all, are dealt to its workers.

    Where there are more workers than devices, several have the same one.
    """
    dealt = {}
    for _, own in groupby(sorted(workers_of), lambda address: address.rpartition(":")[0]):
        on_host = list(own)
        for number, address in enumerate(on_host):
            dealt[address] = tuple(devices[number % max(len(devices), 1) :: len(on_host)])
    return dealt


def run(
    cluster: Cluster,
    chunks: Sequence[Chunk],
    journal: Journal[PeopleWork],
    folder: Path,
    *,
    done: Callable[[int], object],
) -> None:
    """Do all chunks whose images the journal lacks, ``cluster.slots`` at a time.

    ``folder`` is absolute and shared by all workers; ``done`` is called with the number of images after each.

    Raises
    ------
    UserError : what a worker raised, or that the workers given a chunk died
    """
    for left in folder.iterdir():
        if left.is_dir():
            atomic.remove_folder(left)
    todo = iter([c for c in chunks if any(image.index not in journal for image in c.images)])

    def submit() -> Iterator[Future]:
        for chunk in todo:
            # A folder an attempt: a worker that was given up may still be writing.
            yield cluster.client.submit(_process, cluster.plugin, chunk, str(folder), pure=False)

    submitted = submit()
    futures = as_completed(list(islice(submitted, cluster.slots)))
    for future in futures:
        try:
            prepared, people = future.result()
        except (
            CancelledError,
            TimeoutError,
            OSError,
        ) as e:  # the connection is lost
            raise UserError(
                f"the Dask scheduler or its workers are gone ({type(e).__name__}: {' '.join(str(e).split())[:200]}); "
                f"what is done is kept: run again, with a scheduler that answers"
            ) from e
        except KilledWorker as e:
            raise UserError(
                f"the Dask workers given a chunk died ({' '.join(str(e).split())[:200]}), probably out of memory; "
                f"what is done is kept"
            ) from e
        for index, why in prepared.left_out.items():
            if index not in journal:
                journal.leave_out(index, why)
                done(1)
        for index, entries in people:
            if index not in journal:
                journal.add(index, prepared.pictures.get(index), entries)
                done(1)
        future.release()
        for following in islice(submitted, 1):
            futures.add(following)


def told(cluster: Cluster, name: str) -> tuple[int, Agreement]:
    """What the workers have to say, together, as far as they answer.

    That is how many images their devices left to the hosts, and whether the people that the backend ``name`` found
    are float32's.
    """
    left, agreement = 0, Agreement(name)
    with contextlib.suppress(OSError, TimeoutError):  # the scheduler is gone; nothing but this is lost
        for of_worker, shapes in cluster.client.run(_told, cluster.plugin, on_error="ignore").values():
            left += of_worker
            for shape, compared in shapes.items():
                agreement.keep(shape, compared)
    return left, agreement


def _told(plugin: str, dask_worker: Worker) -> tuple[int, dict[tuple[int, int], Compared]]:
    """On a worker, which Dask puts in by the argument's name: its part of ``told``."""
    made = dask_worker.plugins[plugin].made  # type: ignore[attr-defined]
    if not isinstance(made, InMemory):
        return 0, {}
    return made.left_to_host, made.agreement.shapes if made.agreement else {}


def _process(plugin: str, chunk: Chunk, base: str) -> _Done:
    """On a worker: one chunk from images to people."""
    found = get_worker().plugins[plugin]
    assert isinstance(found, _Plugin)
    steps = found.made
    if steps is None:
        raise UserError(f"{found.refused or 'a Dask worker could not make the network'}; end it, or set it up as here")
    if isinstance(steps, InMemory):
        return _in_memory(steps, chunk)
    folder = Path(base) / f"{chunk.name}_{uuid.uuid4().hex[:8]}"
    try:
        prepared = steps.preprocess(chunk, folder)
        if len(prepared.left_out) == len(chunk.images):
            return prepared, []
        steps.infer(chunk, folder)
        steps.remove_inputs(folder)
        return prepared, [(image.index, people) for image, people in steps.decode(chunk, folder, prepared.left_out)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_memory(made: InMemory, chunk: Chunk) -> _Done:
    prepared, done = Prepared({}, {}), []
    for image, picture, people in made.people(chunk.images):
        if isinstance(people, str):
            prepared.left_out[image.index] = people
            continue
        if picture is not None:
            prepared.pictures[image.index] = picture
        done.append((image.index, people))
    return prepared, done
