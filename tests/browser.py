"""Debian's Chromium, started headless and unable to reach any host but this one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, Route, sync_playwright

from tools.server import serve as serve  # for the tests that start a browser

LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}


@dataclass
class Traffic:
    """What a page did while it was watched; every list stays empty on a page without faults."""

    external: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        return [f"{kind}: {what}" for kind, found in vars(self).items() for what in found]


def find_chromium() -> str:
    """Path of the browser; an error that names the Debian package where there is none."""
    path = shutil.which("chromium")
    if path is None:
        raise RuntimeError("These tests need Chromium: install the Debian package `chromium`.")
    return path


@contextmanager
def launch_browser() -> Iterator[Browser]:
    """One headless Chromium for as many pages as wanted."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-dev-shm-usage",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


def open_drawn(page: Page, address: str) -> None:
    """Open a page of the book, and wait until it is drawn to its end: what is far from the window comes later."""
    page.goto(address, wait_until="networkidle")
    page.wait_for_function("document.documentElement.dataset.drawn !== undefined")


def watch(page: Page) -> Traffic:
    """Stop every request to another host, and record it together with whatever else goes wrong."""
    traffic = Traffic()

    def keep_local(route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.hostname not in LOCAL_HOSTS:
            traffic.external.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def note_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            traffic.errors.append(message.text)

    def note_response(response: Response) -> None:
        if response.status >= 400:
            traffic.failed.append(f"{response.status} {response.url}")

    def note_failure(request: Request) -> None:
        if request.url not in traffic.external:
            traffic.failed.append(f"{request.failure} {request.url}")

    page.route("**/*", keep_local)
    page.on("console", note_console)
    page.on("pageerror", lambda error: traffic.errors.append(str(error)))
    page.on("response", note_response)
    page.on("requestfailed", note_failure)
    return traffic
