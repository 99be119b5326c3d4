"""Opens the daemon's page in the user's browser."""

from __future__ import annotations

import logging
import os
import threading
import webbrowser

log = logging.getLogger(__name__)


def open_in_browser(url: str) -> None:
    """Open `url` in the browser of the desktop, or the one that BROWSER names.

    Without a desktop no browser is started, because one in the terminal would hide the log.
    """
    if not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        log.warning("there is no desktop here; open the page elsewhere: %s", url)
        return
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()


def _open(url: str) -> None:
    """Open `url`; some browsers block until their window is closed."""
    if not webbrowser.open(url):
        log.warning("no browser could be started; open the page yourself: %s", url)
