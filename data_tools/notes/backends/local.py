"""A transformers model in a folder, run here: in this process, or in several with a copy of the model each.

At temperature 0 an answer depends on its prompt and picture alone, but for the rounding of the device, which
may differ between batches. Above, sampling draws from one generator for a whole batch, seeded by its first
request: the same requests in the same order and batches give the same answers, but a request gets another
answer in other company, as in a run that goes on after an interruption. The store keeps what was answered.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

from data_tools.config import PrepareConfig, WriterConfig
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.backends.localmodel import LocalModel, check_folder
from data_tools.workers import cores, start_worker
from mmfm.errors import DataError

AHEAD = 2  # batches that wait for each process or run in it

_model: LocalModel | None = None  # of a worker process
_number = 0


class LocalBackend:
    """The model in `writer.model`. Raises `DataError` for a folder that holds none."""

    def __init__(self, writer: WriterConfig, prepare: PrepareConfig) -> None:
        check_folder(Path(writer.model))
        self.writer = writer
        self.prepare = prepare

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer | Failure]:
        """See `Backend`. Outcomes come batch by batch."""
        batches = _batches(requests, self.writer.local.batch)
        processes = self._processes()
        if processes > 1:
            yield from self._spread(batches, processes)
            return
        model = LocalModel(self.writer, self.prepare)
        for batch in batches:
            yield from model.answer(batch)

    def _processes(self) -> int:
        if self.writer.local.processes:
            return self.writer.local.processes
        import torch

        return 1 if self.writer.local.device == "cpu" else max(1, torch.cuda.device_count())

    def _spread(self, batches: Iterator[list[Request]], processes: int) -> Iterator[Answer | Failure]:
        """Outcomes of the batches, which `processes` take as they have room."""
        context = multiprocessing.get_context("spawn")
        numbers = context.SimpleQueue()
        for number in range(processes):
            numbers.put(number)
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(processes, context, _start, (numbers, processes))
        running: set[Future[list[Answer | Failure]]] = set()
        try:
            while True:
                for batch in islice(batches, AHEAD * processes - len(running)):
                    running.add(pool.submit(_answer, batch, self.writer, self.prepare))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BrokenProcessPool as error:
            raise DataError(
                f"{self.writer.model}: a process was killed, most likely for lack of memory. Lower "
                "local.processes or local.batch; what is written is kept"
            ) from error
        finally:
            if running:  # closed before the end: nobody waits for these any more
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
            pool.shutdown(wait=not running, cancel_futures=True)


def _batches(requests: Iterable[Request], size: int) -> Iterator[list[Request]]:
    """Requests in batches of at most `size`: all with a picture, or none."""
    waiting: dict[bool, list[Request]] = {True: [], False: []}
    for request in requests:
        batch = waiting[request.image is not None]
        batch.append(request)
        if len(batch) == size:
            yield list(batch)
            batch.clear()
    yield from (batch for batch in waiting.values() if batch)


def _start(numbers: Any, processes: int) -> None:
    """Begin a worker process: its number says which GPU it takes."""
    global _number
    start_worker()
    _number = numbers.get()
    import torch

    torch.set_num_threads(max(1, cores() // processes))


def _answer(batch: Sequence[Request], writer: WriterConfig, prepare: PrepareConfig) -> list[Answer | Failure]:
    """In a worker process: the outcomes of a batch. The first one loads the model."""
    global _model
    if _model is None:
        _model = LocalModel(writer, prepare, _number)
    return _model.answer(batch)
