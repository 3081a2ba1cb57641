"""Files that processes share: locks that end with their holder, and contents that are replaced whole."""

from latent.files.atomic import read_json, replace_file, replace_json
from latent.files.locks import FileLock, is_locked

__all__ = ["FileLock", "is_locked", "read_json", "replace_file", "replace_json"]
