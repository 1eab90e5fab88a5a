"""Packages named in kodkod.toml: found through mip's index, fetched once, locked by hash.

kodkod.lock says which files a package had when it was first built; later builds take exactly
those, from the cache or from the index. Removing its entry (or the file) takes the newest again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from typing import Any

from kod import cache, reading

from .errors import BuildError
from .image import check_name
from .project import Project

_FORMAT = 1
_TIMEOUT_S = 20
_URLS = ("http://", "https://")
# The hosts that mip knows, by their prefix: owner, repository, branch, path.
_HOSTS = {
    "github:": "https://raw.githubusercontent.com/{0}/{1}/{2}/{3}",
    "gitlab:": "https://gitlab.com/{0}/{1}/-/raw/{2}/{3}",
    "codeberg:": "https://codeberg.org/api/v1/repos/{0}/{1}/raw/{3}?ref={2}",
}


@dataclass(frozen=True)
class Remote:
    """One file of a package: where it comes from, relative to the index or as an address."""

    source: str
    sha256: str


class Packages:
    """The files of all packages of a project; nothing is fetched before it is asked for."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files: dict[str, Remote] | None = None

    @property
    def files(self) -> dict[str, Remote]:
        """By the names that they have on a device."""
        if self._files is None:
            self._files = self._locked() if self._project.packages else {}
        return self._files

    def read(self, name: str) -> bytes:
        """The content of one of `files`."""
        remote = self.files[name]
        data = cache.get("packages", remote.sha256)
        if data is None:
            data = _get(self._address(remote.source))
            cache.put("packages", hashlib.sha256(data).hexdigest(), data)
        if hashlib.sha256(data).hexdigest() != remote.sha256:
            raise BuildError(
                f"{self._address(remote.source)} is not the file that {self._project.lock} "
                "names; remove the package's entry there to take the new one"
            )
        return data

    def _address(self, source: str) -> str:
        return source if source.startswith(_URLS) else f"{self._project.index}/{source}"

    def _locked(self) -> dict[str, Remote]:
        before = self._read_lock()
        now = {name: before.get(name) or self._resolve(name) for name in self._project.packages}
        if now != before:
            self._write_lock(now)
        files: dict[str, Remote] = {}
        for name in sorted(now):
            for path, remote in now[name].items():
                files.setdefault(path, remote)
        return files

    def _read_lock(self) -> dict[str, dict[str, Remote]]:
        path = self._project.lock
        try:
            lock = reading.from_json(reading.content(path).decode("utf-8"))
            if lock["format"] != _FORMAT:
                raise BuildError(f"{path} is of another version of kod; remove it")
            return {
                name: {file: _remote(remote) for file, remote in files.items()}
                for name, files in lock["packages"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BuildError(f"{path} cannot be read ({error}); remove it") from None

    def _write_lock(self, packages: dict[str, dict[str, Remote]]) -> None:
        lock = {
            "format": _FORMAT,
            "packages": {
                name: {path: asdict(remote) for path, remote in files.items()}
                for name, files in packages.items()
            },
        }
        text = json.dumps(lock, indent=2, sort_keys=True) + "\n"
        path = self._project.lock
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".kodkod")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except OSError as error:
            raise BuildError(f"{path} cannot be written: {error.strerror}") from None

    def _resolve(self, package: str) -> dict[str, Remote]:
        """The files of a package and of what it depends on, as the index says today."""
        files: dict[str, Remote] = {}
        waiting = [(package, "")]
        seen = set()
        while waiting:
            one = waiting.pop(0)
            if one in seen:
                continue
            seen.add(one)
            found, depends = self._description(*one, asked=package)
            for path, remote in found.items():
                files.setdefault(path, remote)
            waiting += depends
        return files

    def _description(
        self, package: str, version: str, asked: str
    ) -> tuple[dict[str, Remote], list[tuple[str, str]]]:
        name, _, at = package.partition("@")
        version = at or version
        is_address = name.startswith((*_URLS, *_HOSTS))
        if is_address and name.endswith((".py", ".mpy")):
            address = _rewritten(name, version)
            return {name.rpartition("/")[2]: self._fetched(address, "", asked)}, []
        if is_address:
            at = name if name.endswith(".json") else name.rstrip("/") + "/package.json"
            address = _rewritten(at, version)
            base = at.rpartition("/")[0]
        else:
            base = ""
            address = f"{self._project.index}/package/py/{name}/{version or 'latest'}.json"
        said = _json(address, asked)
        files = {}
        for path, short in said.get("hashes", ()):
            source = f"file/{short[:2]}/{short}"
            files[_safe(path, asked)] = self._fetched(source, short, asked)
        for path, url in said.get("urls", ()):
            full = url if url.startswith((*_URLS, *_HOSTS)) else f"{base}/{url}"
            source = _rewritten(full, version)
            files[_safe(path, asked)] = self._fetched(source, "", asked)
        return files, [(str(name), str(at)) for name, at in said.get("deps", ())]

    def _fetched(self, source: str, short: str, asked: str) -> Remote:
        data = _get(self._address(source), asked)
        full = hashlib.sha256(data).hexdigest()
        if not full.startswith(short):
            raise BuildError(f"package {asked!r}: {self._address(source)} is damaged; try again")
        cache.put("packages", full, data)
        return Remote(source, full)


def _remote(locked: dict[str, str]) -> Remote:
    remote = Remote(**locked)
    if not isinstance(remote.source, str) or not re.fullmatch("[0-9a-f]{64}", remote.sha256):
        raise ValueError("no source, or no SHA-256")
    return remote


def _safe(path: str, asked: str) -> str:
    try:
        check_name(path)
    except BuildError as error:
        raise BuildError(f"package {asked!r}: {error}") from None
    return path


def _rewritten(address: str, version: str) -> str:
    """mip's short forms, such as github:owner/repository/path, as an address."""
    for prefix, form in _HOSTS.items():
        if address.startswith(prefix):
            parts = address[len(prefix) :].split("/")
            if len(parts) < 3:
                raise BuildError(f"package {address!r}: write {prefix}owner/repository")
            return form.format(parts[0], parts[1], version or "HEAD", "/".join(parts[2:]))
    return address


def _json(address: str, asked: str) -> dict[str, Any]:
    try:
        said = reading.from_json(_get(address, asked))
        for key, width in (("hashes", 2), ("urls", 2), ("deps", 2)):
            for row in said.get(key, ()):
                if len(row) != width or not all(isinstance(one, str) for one in row):
                    raise ValueError(key)
        return dict(said)
    except (ValueError, TypeError, AttributeError):
        raise BuildError(f"package {asked!r}: {address} is no package description") from None


def _get(address: str, asked: str = "") -> bytes:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    about = f"package {asked!r}: " if asked else ""
    try:
        with urlopen(address, timeout=_TIMEOUT_S) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        error.close()
        why = "is not there" if error.code == 404 else f"was refused ({error.code})"
        raise BuildError(f"{about}{address} {why}; see packages in kodkod.toml") from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise BuildError(f"{about}{address} cannot be fetched: {reason}") from None
