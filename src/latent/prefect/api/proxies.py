"""Keep requests to this machine away from HTTP proxies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import getproxies_environment

LOOPBACK = "127.0.0.1"


@contextmanager
def loopback_without_proxy() -> Iterator[None]:
    """
    Add 127.0.0.1 to `NO_PROXY` for the time of the block, where the environment names a proxy.

    Prefect's HTTP client believes the environment, and would otherwise send requests for this
    machine, password included, to the proxy. Without a proxy nothing is touched: on macOS a
    `NO_PROXY` alone would hide the proxies that the system's settings name.
    """
    proxies = getproxies_environment()
    exceptions = [host.strip() for host in proxies.get("no", "").split(",") if host.strip()]
    if not proxies.keys() & {"http", "all"} or {"*", LOOPBACK} & set(exceptions):
        yield
        return
    # Both spellings are read, by different libraries and with different precedence.
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    os.environ.update(dict.fromkeys(before, ",".join([*exceptions, LOOPBACK])))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
