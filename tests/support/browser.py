"""A headless Chromium that tests drive through its debugging pipe: no driver, no socket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (  # it asks nobody for anything
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 120  # after which a browser that hangs is ended


class Browser:
    """One page of a browser. `profile` is a folder of its own."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()
        # It reads descriptor 3 and writes descriptor 4.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        command = [
            "bash",
            "-c",
            shell,
            "bash",
            str(CHROMIUM),
            *FLAGS,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=(to_browser, from_browser), **quiet)
        os.close(to_browser)
        os.close(from_browser)
        self._watchdog = threading.Timer(SECONDS, self._process.kill)
        self._watchdog.start()
        self._read = b""
        self._seen: list[dict[str, Any]] = []
        self._number = 0
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def close(self) -> None:
        """End it."""
        self._watchdog.cancel()
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def open(self, address: str) -> None:
        """Go to an address and wait until all of it is loaded."""
        self._call("Page.navigate", url=address)
        self._wait("Page.loadEventFired")
        while self.value("location.href") == "about:blank":  # that was the empty page's event
            self._wait("Page.loadEventFired")

    def leave(self, expression: str) -> None:
        """Evaluate an expression that leads to another page, and wait until that is loaded."""
        self.value(expression)
        self._wait("Page.loadEventFired")

    def press(self, key: str) -> None:
        """Press a key that leads to another page, and wait until that is loaded."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key)
        self._wait("Page.loadEventFired")

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, in its own pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._seen.append(answer)

    def _wait(self, event: str) -> None:
        """Wait for an event, which may have come already since the last one was waited for."""
        while not any(message.get("method") == event for message in self._seen):
            self._seen.append(self._message())
        self._seen.clear()

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            data = os.read(self._answers, 1 << 16)
            assert data, "the browser has ended"
            self._read += data
        text, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message
