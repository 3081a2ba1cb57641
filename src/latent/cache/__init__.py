"""Keys, codecs and the store: what was computed before and need not be computed again."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.cache.code import CodeFingerprint as CodeFingerprint
    from latent.cache.code import code_fingerprint as code_fingerprint
    from latent.cache.code import code_identity as code_identity
    from latent.cache.codecs import decode as decode
    from latent.cache.codecs import encode as encode
    from latent.cache.entry import Entry as Entry
    from latent.cache.entry import Hit as Hit
    from latent.cache.entry import Result as Result
    from latent.cache.entry import Version as Version
    from latent.cache.hashing import stable_hash as stable_hash
    from latent.cache.keys import argument_hashes as argument_hashes
    from latent.cache.keys import file_key as file_key
    from latent.cache.keys import file_key_of_parts as file_key_of_parts
    from latent.cache.keys import key_of_parts as key_of_parts
    from latent.cache.keys import row_key as row_key
    from latent.cache.leases import Lease as Lease
    from latent.cache.leases import Leases as Leases
    from latent.cache.memory import Memory as Memory
    from latent.cache.memory import open_lasting_memory as open_lasting_memory
    from latent.cache.memory import open_memory as open_memory
    from latent.cache.sqlite import SQLiteStore as SQLiteStore
    from latent.cache.store import Store as Store
    from latent.cache.store import StoreStats as StoreStats
    from latent.cache.store import TaskStats as TaskStats
    from latent.errors import UnhashableError as UnhashableError
    from latent.errors import UnstorableError as UnstorableError

_HOME = {
    "CodeFingerprint": "latent.cache.code",
    "Entry": "latent.cache.entry",
    "Hit": "latent.cache.entry",
    "Lease": "latent.cache.leases",
    "Leases": "latent.cache.leases",
    "Memory": "latent.cache.memory",
    "Result": "latent.cache.entry",
    "SQLiteStore": "latent.cache.sqlite",
    "Store": "latent.cache.store",
    "StoreStats": "latent.cache.store",
    "Version": "latent.cache.entry",
    "TaskStats": "latent.cache.store",
    "UnhashableError": "latent.errors",
    "UnstorableError": "latent.errors",
    "argument_hashes": "latent.cache.keys",
    "code_fingerprint": "latent.cache.code",
    "code_identity": "latent.cache.code",
    "decode": "latent.cache.codecs",
    "encode": "latent.cache.codecs",
    "file_key": "latent.cache.keys",
    "file_key_of_parts": "latent.cache.keys",
    "key_of_parts": "latent.cache.keys",
    "open_lasting_memory": "latent.cache.memory",
    "open_memory": "latent.cache.memory",
    "row_key": "latent.cache.keys",
    "stable_hash": "latent.cache.hashing",
}

__all__ = [  # noqa: RUF022  # listed by what they are for
    "Memory",
    "Hit",
    "Result",
    "open_memory",
    "open_lasting_memory",
    "Entry",
    "Version",
    "Lease",
    "Leases",
    "Store",
    "StoreStats",
    "TaskStats",
    "SQLiteStore",
    "CodeFingerprint",
    "code_fingerprint",
    "code_identity",
    "stable_hash",
    "argument_hashes",
    "row_key",
    "file_key",
    "key_of_parts",
    "file_key_of_parts",
    "encode",
    "decode",
    "UnhashableError",
    "UnstorableError",
]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)
