"""`transformers serve` over a model folder of this machine: as a command, and as a child of this process.

    python -m data_tools.demo.serve FOLDER --port 8000 --continuous-batching

takes the options of `transformers serve` and is that program. It only makes up for a torchvision that does
not match torch (`mmfm.models.torchvision_compat`), and never asks the model hub.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmfm.errors import UserError

START_SECONDS = 180.0
# Many requests in one batch; a text model only. The memory for keys and values is that of 256 blocks of 256
# tokens: by itself the server would take most of the machine's.
BATCHING = ("--continuous-batching", "--cb-num-blocks", "256")


@contextmanager
def serving(folder: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """Base URL of a server over the model in `folder`, which ends with the context.

    The model's name is the folder's path. Torch gets one thread: a tiny model has no work for more, and they
    would wait for each other. Raises `UserError` with the server's last words if it does not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "data_tools.demo.serve", str(folder), "--port", str(port)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--device", "cpu", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            if not _wait_until_up(server, f"http://127.0.0.1:{port}/health"):
                log.seek(0)
                words = log.read().decode(errors="replace")[-2000:]
                raise UserError(f"`transformers serve` over {folder} does not start:\n{words}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()  # it holds nothing that needs an orderly end
            server.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(server: subprocess.Popen[bytes], health: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def main() -> None:
    """Be `transformers serve` with the arguments of the command line."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from mmfm.models.torchvision_compat import declare_operators

    declare_operators()
    _decode_images()
    from transformers.cli.transformers import app

    sys.argv = ["transformers", "serve", *sys.argv[1:]]
    app()


def _decode_images() -> None:
    """Let Pillow decode pictures where torchvision's compiled decoder does not load."""
    import torch
    import torchvision.io
    from PIL import Image

    def decode(data: torch.Tensor, **_: Any) -> torch.Tensor:
        image = Image.open(io.BytesIO(data.numpy().tobytes())).convert("RGB")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "PNG")
    try:
        torchvision.io.decode_image(torch.frombuffer(bytearray(pixel.getvalue()), dtype=torch.uint8))
    except RuntimeError:
        torchvision.io.decode_image = decode


if __name__ == "__main__":
    main()
