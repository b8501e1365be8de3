"""What a restart must know: which event of the room stands for which request, and how far the room was read."""

import json
import os
import threading
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

# A gateway has a thousand that wait at most; of the others, so many are kept.
MAX_REQUESTS = 2000


@dataclass(frozen=True)
class Posted:
    """A request in the room, as it was last told."""

    approval_id: str
    event_id: str
    # None where the event does not say everything that an approval is for.
    digest: str | None
    message_id: str
    at: str
    is_over: bool

    def has_heard(self, message_id: str, at: datetime) -> bool:
        """Whether a message says nothing new: it came before, or was overtaken."""
        return message_id == self.message_id or at < datetime.fromisoformat(self.at)


class StoreError(Exception):
    """The file cannot be read or written."""


class Store:
    """One small file, whole at any time."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._since: str | None = None
        self._posted: dict[str, Posted] = {}
        try:
            read = json.loads(path.read_text())
            self._since = read["since"]
            self._posted = {one["approval_id"]: Posted(**one) for one in read["posted"]}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: {error!r}; without it, messages that are in the room take no answers") from error

    @property
    def since(self) -> str | None:
        return self._since

    def of_request(self, approval_id: str) -> Posted | None:
        with self._lock:
            return self._posted.get(approval_id)

    def of_event(self, event_id: str) -> Posted | None:
        with self._lock:
            return next((one for one in self._posted.values() if one.event_id == event_id), None)

    def put(self, posted: Posted) -> None:
        with self._lock:
            self._posted[posted.approval_id] = posted
            over = [one.approval_id for one in self._posted.values() if one.is_over]
            for approval_id in over[: max(0, len(self._posted) - MAX_REQUESTS)]:
                del self._posted[approval_id]
            self._write()

    def read_until(self, since: str) -> None:
        with self._lock:
            if since != self._since:
                self._since = since
                self._write()

    def _write(self) -> None:
        """A crash right here leaves the old file or the new one."""
        new = self._path.with_name(self._path.name + ".new")
        text = json.dumps({"since": self._since, "posted": [asdict(one) for one in self._posted.values()]})
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)
        except OSError as error:
            raise StoreError(f"{self._path}: {error}") from error
