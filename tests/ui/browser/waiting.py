"""Waiting for a page of the UI."""

from __future__ import annotations

from typing import Any

IDLE = """() => {
    const idle = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning';
    window.idleSince = idle ? window.idleSince || performance.now() : 0;
    return idle && performance.now() - window.idleSince > 500;
}"""


def rest(page: Any) -> None:
    """Wait until the page has been idle for half a second."""
    page.wait_for_timeout(200)  # a click in a table counts after a moment
    page.wait_for_function(IDLE)
    page.evaluate("window.idleSince = 0")
