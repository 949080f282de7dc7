"""A headless Chromium, told what to do over its DevTools protocol.

Whatever it asks for is kept, and answers from elsewhere than loopback are refused at its resolver.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

import aiohttp

PATIENCE = 60.0
"""Seconds for anything: the machine has other things to do."""
FLAGS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--renderer-process-limit=2",
    "--remote-debugging-port=0",
)
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
_CHANGES = """() => new Promise((done) => {
    const look = () => { const found = (%s)(); if (found) { watch.disconnect(); done(found); } };
    const watch = new MutationObserver(look);
    const all = {subtree: true, childList: true, attributes: true, characterData: true};
    watch.observe(document, all);
    addEventListener('focusin', look);
    look();
})"""


def program() -> str | None:
    """Where there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """A tab: its requests, what it complained of, and its DOM."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> Any:
        return await self._browser.call(method, session=self._session, **params)

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """What a function in JavaScript answers, once it does."""
        answer = await self.call(
            "Runtime.evaluate",
            expression=f"({script})()",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:
        """The first truth that a function answers, asked at each change of the page."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self.run(_CHANGES % script)
            except Gone:  # another page is there by now
                continue
            except TimeoutError:
                shown = await self.text()
                raise AssertionError(f"never true: {script}\n{shown}\n{self.complaints}") from None

    async def sees(self, *words: str) -> str:
        """Wait until all of that is shown; what is, whole."""
        given = "".join(f"&& shown.includes({word!r})" for word in words)
        script = (
            f"() => {{ const shown = document.body?.innerText; return shown {given} && shown }}"
        )
        found: str = await self.until(script)
        return found

    async def text(self) -> str:
        found: str = await self.run("() => document.body.innerText")
        return found

    async def press(self, *keys: str) -> None:
        """Keys by their names, as `Tab`, `Enter`, `Shift+Tab`, or `a`."""
        for key in keys:
            shift, _, name = key.rpartition("+")
            code = {"Tab": 9, "Enter": 13, " ": 32}.get(name, 0)
            text = {"Enter": "\r"}.get(name, name if len(name) == 1 else "")
            about = {"key": name, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
            kind = "keyDown" if text else "rawKeyDown"
            await self.call("Input.dispatchKeyEvent", type=kind, text=text, **about)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def focused(self) -> str:
        """What has the focus, in words."""
        found: str = await self.run(
            "() => { const a = document.activeElement;"
            " return (a.innerText || a.id || a.tagName).trim().split('\\n')[0] }"
        )
        return found

    async def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """As on a screen of that size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def note(self, method: str, params: Any) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if method == "Network.webSocketCreated":
            self.requests.append(params["url"])
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(str(details.get("exception", details).get("description")))
        if method == "Log.entryAdded" and params["entry"]["source"] in ("security", "javascript"):
            self.complaints.append(params["entry"]["text"])


class Gone(Exception):
    """The page went to another address meanwhile."""


class Browser:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._pages: dict[str, Page] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    @asynccontextmanager
    async def at(cls, address: str) -> AsyncIterator[Self]:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(address, max_msg_size=0) as socket,
        ):
            browser = cls(socket)
            yield browser
            browser._listening.cancel()

    async def page(self) -> Page:
        """The one tab there is: another would cost a second of processor time. Nothing is left in
        it of whoever had it before."""
        targets = (await self.call("Target.getTargets"))["targetInfos"]
        (tab,) = [target["targetId"] for target in targets if target["type"] == "page"]
        attached = await self.call("Target.attachToTarget", targetId=tab, flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        await page.call("Page.navigate", url="about:blank")
        await page.call("Network.clearBrowserCookies")
        await page.call("Emulation.clearDeviceMetricsOverride")
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.call(f"{domain}.enable")
        return page

    async def call(self, method: str, session: str = "", **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        about = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params, **about})
        return await asyncio.wait_for(answer, PATIENCE)

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                answer = self._asked.pop(said["id"])
                if answer.done():
                    continue
                if "error" in said:
                    answer.set_exception(_error(said["error"]["message"]))
                else:
                    answer.set_result(said["result"])
            elif page := self._pages.get(said.get("sessionId", "")):
                page.note(said["method"], said["params"])


def _error(words: str) -> Exception:
    is_gone = "context was destroyed" in words or "navigated" in words or "context with" in words
    return Gone(words) if is_gone else AssertionError(words)


@contextmanager
def started(found: str) -> Iterator[str]:
    """A Chromium; the address at which it is told what to do. What it says besides is read by a
    thread, or it would be held up."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [found, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "HOME": folder},
            start_new_session=True,
        )
        assert process.stderr is not None
        with process.stderr as told:
            listens = threading.Thread(target=told.read)
            try:
                address = _address(told)
                listens.start()
                yield address
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if listens.is_alive():
                    listens.join()


def _address(told: IO[bytes]) -> str:
    """Where it listens, as it says itself."""
    said: list[str] = []
    for line in told:
        said.append(line.decode(errors="replace"))
        if "listening on " in said[-1]:
            return said[-1].partition("listening on ")[2].strip()
    raise AssertionError(f"Chromium does not come up: {''.join(said[-20:])}")
