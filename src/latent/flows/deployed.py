"""Every flow of the workspace around the current folder as an attribute: where Prefect imports them."""

from latent.flows import READY as _READY
from latent.services.deployed import load_deployed as _load_deployed


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _load_deployed(name, _READY)
