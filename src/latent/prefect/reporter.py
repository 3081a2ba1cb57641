"""
The process that tells a Prefect server how runs ended: `python -m latent.prefect.reporter ROOT`.

One lives for each workspace. It ends when everything is sent, or the server has been away for an hour: the
next run, `latent up` and `latent sync` go on from there.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from latent.config import Workspace, ensure_private_dir, find_workspace
from latent.config.running_services import running_service
from latent.files import FileLock
from latent.prefect.late_ends import LateEnd, late_ends, lock_file, send

logger = logging.getLogger("latent.prefect.reporter")

GIVE_UP_SECONDS = 3_600.0
_POLL_SECONDS = 2.0
_LOCK_SECONDS = 1.0


def main(root: str) -> int:
    """Send the late ends of the workspace at `root`; 1 when some are left."""
    os.environ["LATENT_WORKSPACE"] = root
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    workspace = find_workspace()
    ensure_private_dir(workspace.services_dir)
    lock = FileLock(lock_file(workspace))
    if not lock.acquire(_LOCK_SECONDS):
        return 0
    with lock:
        return _report(workspace)


def _report(workspace: Workspace) -> int:
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while waiting := late_ends(workspace):
        if time.monotonic() > give_up_at:
            logger.info("%d ends of runs are left: the server did not come back.", len(waiting))
            return 1
        # Looked at first: importing Prefect only to find no server would cost others a second of work.
        if any(_listens(workspace, end) for _, end in waiting):
            sent = send(workspace)
            for end in sent.known:
                logger.info("The server knows that %s ended.", end.shown)
            for end, reason in sent.refused:
                logger.info("%s is not reported: %s.", end.shown, reason)
            for end, reason in sent.waiting:
                logger.info("%s waits: %s.", end.shown, reason)
        time.sleep(_POLL_SECONDS)
    return 0


def _listens(workspace: Workspace, end: LateEnd) -> bool:
    """Whether anything listens where the server of `end` should be."""
    service = running_service(workspace, "prefect") if end.is_own_server else None
    if end.is_own_server and service is None:
        return False
    parts = urlsplit(end.api_url if service is None else service.url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            return True
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m latent.prefect.reporter ROOT")
    sys.exit(main(sys.argv[1]))
