"""A headless Chromium for tests, driven over its debugging pipe: no driver, no network port, no dependency.

with Browser() as browser:
    page = browser.open(path, width=390, dark=True)
    page.value("document.title")
    page.press("Enter")
    assert page.problems == []
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_KEYS = {
    "Enter": 13,
    "Escape": 27,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Tab": 9,
    "Home": 36,
    "End": 35,
}
_LOADED = "location.protocol === 'file:' && document.readyState === 'complete'"
_READY = "document.readyState === 'complete' && document.documentElement?.dataset.ready === 'yes'"
_SECONDS = 60


def chromium() -> str | None:
    """The program; None where there is none."""
    named = os.environ.get("QEMBED_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One process of Chromium with a profile of its own."""

    def __init__(self) -> None:
        program = chromium()
        assert program is not None
        self._folder = tempfile.TemporaryDirectory(prefix="qembed-chromium-", ignore_cleanup_errors=True)
        self.downloads = Path(self._folder.name) / "downloads"
        self.downloads.mkdir()
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        flags += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]
        flags += [f"--user-data-dir={self._folder.name}/profile", "--force-color-profile=srgb", "about:blank"]

        def pipes() -> None:
            # High numbers first: 3 and 4, where Chromium looks, may be in use.
            os.dup2(os.dup2(read, 1003), 3)
            os.dup2(os.dup2(write, 1004), 4)

        self._process = subprocess.Popen(
            [program, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=pipes,
            close_fds=False,
        )
        os.close(read)
        os.close(write)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.send("Browser.close")
            self._process.wait(timeout=10)
        except (OSError, EOFError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        for answer in self._messages(time.monotonic() + _SECONDS):
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer.get("result", {})
                return result
            if "method" in answer:
                self.events.append(answer)
        raise TimeoutError(method)

    def _messages(self, until: float) -> Iterator[dict[str, Any]]:
        while time.monotonic() < until:
            message, end, rest = self._buffer.partition(b"\0")
            if end:
                self._buffer = rest
                yield json.loads(message)
                continue
            if select.select([self._in], [], [], 1)[0]:
                read = os.read(self._in, 1 << 20)
                if not read:
                    raise EOFError("Chromium has gone")
                self._buffer += read

    @contextmanager
    def open(
        self,
        path: Path,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        scale: float = 1,
        scripts: bool = True,
    ) -> Iterator[Page]:
        """A page in a tab of its own, once it says that it is ready; without ``scripts`` it runs none."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        mode = "dark" if dark else "light"
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
        page.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        page.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        page.send("Page.navigate", url=path.resolve().as_uri())
        page.wait(_READY if scripts else _LOADED)
        try:
            yield page
        finally:
            self.send("Target.closeTarget", targetId=target)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command for this tab."""
        return self._browser.send(method, self._session, **parameters)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + _SECONDS
        while not self.value(expression):
            if time.monotonic() > until:
                raise TimeoutError(expression)
            time.sleep(0.02)

    def reload(self) -> None:
        """The page anew, once it says that it is ready."""
        self.value("document.documentElement.dataset.ready = ''")
        self.send("Page.reload")
        self.wait(_READY)

    def press(self, key: str) -> None:
        """One key, where the focus is."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = _KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    def type(self, text: str) -> None:
        """Text, where the focus is."""
        self.send("Input.insertText", text=text)

    def violations(self, axe: str) -> list[list[str]]:
        """Rule and first element of what axe finds against WCAG 2.2 A and AA, and its best practices.

        Args:
            axe: The text of ``axe.min.js``.
        """
        self.value("document.querySelectorAll('details').forEach(part => part.open = true)")
        self.value("document.querySelector('#list .row')?.click()")
        self.value(f"{axe}; 0")
        tags = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
        found: list[list[str]] = self.value(
            f"axe.run(document, {{ runOnly: {tags} }})"
            ".then(result => result.violations.map(found => [found.id, found.nodes[0].html]))"
        )
        return found

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What is seen, or the whole page."""
        data = self.send(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole)
        )
        path.write_bytes(base64.b64decode(data["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self, **how: Any) -> bytes:
        """The page as it is printed; ``paperWidth`` and ``paperHeight`` are inches, Letter if not given."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=False, **how)["data"])

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, beside its own file and what is in it."""
        self.send("Runtime.evaluate", expression="1")
        found = [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]
        return [address for address in found[1:] if not address.startswith(("data:", "blob:"))]

    @property
    def problems(self) -> list[str]:
        """Exceptions, and what the console calls an error or a warning; violations of the policy too."""
        self.send("Runtime.evaluate", expression="1")
        found = [
            str(event["params"]["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")
        ]
        found += [
            event["params"]["entry"]["text"]
            for event in self._events("Log.entryAdded")
            if event["params"]["entry"]["level"] in ("error", "warning")
        ]
        return found + [
            str(event["params"]["args"])
            for event in self._events("Runtime.consoleAPICalled")
            if event["params"]["type"] in ("error", "warning", "assert")
        ]

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            event
            for event in self._browser.events
            if event["method"] == method and event.get("sessionId") == self._session
        ]
