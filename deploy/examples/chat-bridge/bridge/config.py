"""The configuration file: parsed into what the rest may rely on, or an error that says what to change."""

import base64
import binascii
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NEEDED = {
    "listen", "state_file", "secret_file", "answers_url", "answers_secret_file", "homeserver", "token_file", "room",
}
OPTIONAL = {"tallyport_ca_file", "matrix_ca_file"}
LOOPBACK = {"127.0.0.1", "localhost"}
KEY_BYTES = range(24, 65)


class ConfigError(Exception):
    """What is wrong with the configuration, and what to do about it."""


@dataclass(frozen=True)
class SecretFile:
    """A file with a secret. Read at each use: a new one needs no restart."""

    path: Path

    def read(self) -> str:
        try:
            if stat.S_IMODE(self.path.stat().st_mode) & 0o077:
                raise ConfigError(f"{self.path}: others may use it; chmod 600 {self.path}")
            text = self.path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: {error}") from error
        if not text:
            raise ConfigError(f"{self.path}: it is empty")
        return text

    def signing(self) -> list[str]:
        """Secrets that sign: one a line, the newest first, while one replaces another."""
        lines = self.read().split()
        for line in lines:
            try:
                key = base64.b64decode(line.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                key = b""
            if not line.startswith("whsec_") or len(key) not in KEY_BYTES:
                raise ConfigError(f"{self.path}: write what `printf whsec_; openssl rand -base64 32` prints")
        return lines


@dataclass(frozen=True)
class Config:
    listen: tuple[str, int]
    state_file: Path
    secret: SecretFile
    answers_url: str
    answers_secret: SecretFile
    tallyport_ca: Path | None
    homeserver: str
    token: SecretFile
    room: str
    matrix_ca: Path | None

    @classmethod
    def load(cls, file: Path) -> "Config":
        try:
            raw = tomllib.loads(file.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{file}: {error}") from error
        try:
            return cls._parsed(raw, file.parent)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error

    @classmethod
    def _parsed(cls, raw: dict[str, Any], folder: Path) -> "Config":
        for key in sorted(NEEDED - raw.keys()):
            raise ConfigError(f"{key} is missing")
        for key, value in raw.items():
            if key not in NEEDED | OPTIONAL:
                raise ConfigError(f"{key}: there is no such key")
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{key}: write a text")
        files = {key: folder / value for key, value in raw.items() if key.endswith("_file")}
        config = cls(
            listen=_address(raw["listen"]),
            state_file=files["state_file"],
            secret=SecretFile(files["secret_file"]),
            answers_url=_url(raw, "answers_url"),
            answers_secret=SecretFile(files["answers_secret_file"]),
            tallyport_ca=files.get("tallyport_ca_file"),
            homeserver=_url(raw, "homeserver"),
            token=SecretFile(files["token_file"]),
            room=raw["room"],
            matrix_ca=files.get("matrix_ca_file"),
        )
        if set(config.secret.signing()) & set(config.answers_secret.signing()):
            raise ConfigError("answers_secret_file: messages and answers must be signed with different secrets")
        config.token.read()
        return config


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if host not in LOOPBACK or not port.isdecimal():
        raise ConfigError('listen: write "127.0.0.1:8090"; for a gateway elsewhere put a proxy with TLS in front')
    return host, int(port)


def _url(raw: dict[str, Any], key: str) -> str:
    url: str = raw[key].rstrip("/")
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ConfigError(f"{key}: write an https URL, or http to this very machine")
    return url
