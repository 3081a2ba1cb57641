"""llama.cpp in this process, behind its own HTTP server that speaks OpenAI's API on loopback."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from latent.config.extras import import_extra
from latent.errors import ModelSpecError
from latent.files.forks import after_fork
from latent.llm.local.weights import fingerprint_of, gguf_of

CONTEXT_TOKENS = 8192
"""Prompt and answer of all calls under way together; a model that was trained with fewer has fewer."""
PARALLEL = 4
"""Calls that are worked on at once; others wait in the server."""
_PROMPT_CACHE_MIB = 256
_START_SECONDS = 60.0

_Key = tuple[Path, bool]

_lock = threading.Lock()
_servers: dict[_Key, tuple[str, Any]] = {}
"""By file and purpose: the fingerprint of the weights, and the server that holds them."""


def base_url_of(spec: str, *, embeddings: bool = False) -> str:
    """
    Where the model `spec` is called, with `/v1` at its end; starts its server when this process has none yet.

    A server is started once per process and model, shared by all threads, and ends with the process. Starting
    takes about half a second for SmolLM2, and as long as it takes to read the file for larger models.

    Args:
        embeddings: Ask for a server that makes embeddings: llama.cpp wants to know when it starts.

    Raises:
        ModelSpecError: There is no such model, or llama.cpp cannot use its file.
        MissingExtraError: The extra `local` is not installed.
    """
    path = gguf_of(spec)
    key, weights = (path, embeddings), fingerprint_of(path)
    with _lock:
        if key in _servers and _servers[key][0] != weights:
            del _servers[key]  # the file was replaced: its server, which ends here, answers by the old one
        if key not in _servers:
            _servers[key] = (weights, _start(spec, *key))
        return f"{_servers[key][1].listening_address}/v1"


def stop_servers() -> None:
    """End every server of this process, and free its memory; the next call starts it again."""
    with _lock:
        # The servers end with their objects.
        _servers.clear()


def _start(spec: str, path: Path, embeddings: bool) -> Any:
    library = import_extra("xllamacpp", extra="local", purpose="Local models")
    parameters = library.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {spec}
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel, parameters.kv_unified = CONTEXT_TOKENS, PARALLEL, True
    parameters.cache_ram_mib = _PROMPT_CACHE_MIB
    # Its own log would run through the progress of the terminal.
    parameters.verbosity = -1
    parameters.ui = parameters.endpoint_slots = parameters.warmup = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = _threads()
    if embeddings:
        parameters.embedding = True
        # A text is read in one go, so that it may be as long as the context.
        parameters.n_ubatch = parameters.n_batch = CONTEXT_TOKENS
        if parameters.pooling_type == library.llama_pooling_type.LLAMA_POOLING_TYPE_UNSPECIFIED:
            parameters.pooling_type = library.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    try:
        server = library.Server(parameters)
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelSpecError(spec, f"llama.cpp cannot use {path}: {error}.") from error
    try:
        _ask_once(spec, server.listening_address, embeddings)
    except ModelSpecError:
        _never_end(server)  # its loops may not run yet
        raise
    return server


def _threads() -> int:
    """
    Threads that compute: one fewer than the processors that this process may use, at least one.

    llama.cpp's threads wait for each other many times a token, so one that shares its processor with other
    work stops all of them: with as many threads as processors and something else running, small models answer
    ten times slower.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)


def _ask_once(spec: str, address: str, embeddings: bool) -> None:
    """
    Have one small request answered.

    A server that is ended before both its loops run, that for connections and that for work, waits for itself
    for ever, and the process with it (xllamacpp 2026.10).
    """
    path, body = (
        ("/v1/embeddings", {"input": "a"})
        if embeddings
        else ("/v1/completions", {"prompt": "a", "max_tokens": 1})
    )
    connection = HTTPConnection(address.removeprefix("http://"), timeout=_START_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        connection.getresponse().read()
    except (OSError, HTTPException) as error:
        reason = f"llama.cpp has read it and does not answer at {address}: {type(error).__name__}: {error}."
        raise ModelSpecError(spec, reason) from error
    finally:
        connection.close()


def _reset_after_fork() -> None:
    """In a forked child the threads of the parent's servers are missing: ending one would wait for ever."""
    global _lock, _servers
    _lock = threading.Lock()
    for _, server in _servers.values():
        _never_end(server)
    _servers = {}


def _never_end(server: Any) -> None:
    """One reference too many, so that not even the end of the interpreter destroys it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


atexit.register(stop_servers)
after_fork(_reset_after_fork)
