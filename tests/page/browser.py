"""A headless Chromium, driven over its own protocol: pages, keys, clicks, pictures, and what pages complain of."""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect

from orchestrator.testing import eventually

AXE = Path(__file__).parent / "axe.min.js"
SECONDS = 30
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


def chromium() -> str:
    """The browser, or a skip. On the machine of the checks, which installs it, a missing browser is a failure."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and os.environ.get("CI") == "true":
        pytest.fail("chromium is missing: .ci/run installs it")
    if path is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return path


class Page:
    """One tab with cookies of its own."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._document = ""  # the id of the document that was loaded last
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.clicks = 0
        self._reading = asyncio.create_task(self._read())

    async def send(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        message = {"id": self._number, "method": method, "params": parameters, "sessionId": self._session}
        await self._socket.send(json.dumps(message))
        return await asyncio.wait_for(answer, SECONDS)

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                answer = self._answers.pop(message["id"], None)
                if answer is not None and not answer.done():
                    if "error" in message:
                        answer.set_exception(AssertionError(message["error"]))
                    else:
                        answer.set_result(message["result"])
                continue
            self._happened(message["method"], message["params"])

    def _happened(self, method: str, event: dict[str, Any]) -> None:
        match method:
            case "Page.lifecycleEvent" if event["name"] == "load" and event["loaderId"] != self._document:
                self._document = event["loaderId"]
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.hosts.add(urlsplit(event["request"]["url"]).netloc)
            case "Runtime.exceptionThrown":
                self.complaints.append(str(event["exceptionDetails"].get("exception", event)))
            case "Runtime.consoleAPICalled" if event["type"] in ("error", "warning"):
                self.complaints.append(str(event["args"]))
            case "Log.entryAdded" if event["entry"]["level"] in ("error", "warning"):
                self.complaints.append(event["entry"]["text"] + " " + event["entry"].get("url", ""))

    async def start(self) -> None:
        """Listen to the tab."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send("Page.setLifecycleEventsEnabled", enabled=True)
        await self.size(1280, 800)

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The size of the window."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def scheme(self, name: str) -> None:
        """`dark` or `light`, as the operating system says."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def javascript(self, *, on: bool) -> None:
        """Whether the tab runs scripts."""
        await self.send("Emulation.setScriptExecutionDisabled", value=not on)

    async def open(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        document = (await self.send("Page.navigate", url=url))["loaderId"]
        while self._document != document:  # The load of a page before may come late.
            self._loaded.clear()
            await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def text(self, selector: str = "main") -> str:
        """The visible text of an element."""
        return str(await self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def until(self, selector: str, words: str) -> str:
        """The text of an element once it contains some words."""
        text: str = await eventually(lambda: self.text(selector), lambda text: words.lower() in text.lower(), SECONDS)
        return text

    async def click(self, selector: str, *, loads: bool = True) -> None:
        """Click the middle of an element with the mouse, and wait for the page that it opens."""
        place = await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        self._loaded.clear()
        self.clicks += 1
        mouse = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        await self.send("Input.dispatchMouseEvent", type="mousePressed", **mouse)
        await self.send("Input.dispatchMouseEvent", type="mouseReleased", **mouse)
        if loads:
            await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def link(self, words: str, *, within: str = "body") -> None:
        """Follow the first link, button or summary with these words."""
        marked = await self.run(
            "(() => { document.querySelectorAll('[data-target]').forEach(e => e.removeAttribute('data-target'));"
            f" const e = [...document.querySelector({json.dumps(within)}).querySelectorAll('a, button, summary')]"
            f".find(e => e.innerText.includes({json.dumps(words)}));"
            " if (e) e.setAttribute('data-target', ''); return e ? e.tagName : null })()"
        )
        assert marked, f"no link or button {words!r} on {await self.run('location.href')}"
        await self.click("[data-target]", loads=marked != "SUMMARY")

    async def fill(self, selector: str, words: str) -> None:
        """Type into a field."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.send("Input.insertText", text=words)

    async def press(self, key: str, *, loads: bool = False) -> None:
        """Press a key."""
        self._loaded.clear()
        code = {"Enter": 13, "Escape": 27}.get(key, 0)
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
        if loads:
            await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """Store a picture of the page."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    async def barriers(self) -> list[str]:
        """What axe-core finds: the rule, how bad it is, and the first element."""
        await self.run(AXE.read_text() + "; true")
        found: list[str] = await self.run(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
            ".then(r => r.violations.map(v => `${v.id}: ${v.help} –`"
            " + ` ${v.nodes.map(n => n.html).slice(0, 3).join(' | ')}`"
            " + ` ${v.nodes[0].any.map(a => a.message).join()}`))"
        )
        return found

    async def close(self) -> None:
        """Stop listening."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


class Browser:
    """One process for all tests of a run."""

    def __init__(self, address: str) -> None:
        self._address = address

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Page]:
        """A tab that shares nothing with others."""
        async with connect(self._address, max_size=None, proxy=None) as socket:
            number = 0

            async def ask(method: str, **parameters: Any) -> Any:
                nonlocal number
                number -= 1
                await socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while (message := json.loads(await socket.recv())).get("id") != number:
                    pass
                return message["result"]

            context = (await ask("Target.createBrowserContext"))["browserContextId"]
            target = (await ask("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
            session = (await ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
            page = Page(socket, session)
            try:
                await page.start()
                yield page
            finally:
                await page.close()
                await socket.send(
                    json.dumps(
                        {"id": 0, "method": "Target.disposeBrowserContext", "params": {"browserContextId": context}}
                    )
                )


@asynccontextmanager
async def running_browser(folder: Path) -> AsyncIterator[Browser]:
    """A headless Chromium. Skips the test where there is none."""
    process = await asyncio.create_subprocess_exec(
        chromium(),
        *_FLAGS,
        f"--user-data-dir={folder}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        address = ""
        while not address:
            line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
            assert line, "chromium ended before it listened"
            address = line.partition("listening on ")[2].strip() if "DevTools listening" in line else ""
        drain = asyncio.create_task(process.stderr.read())
        yield Browser(address)
        drain.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
