"""The room, by the client-server API of Matrix (https://spec.matrix.org/v1.11/client-server-api/)."""

import json
from typing import Any
from urllib.parse import quote, urlencode

from .config import SecretFile
from .web import Web

# The gateway gives a message 10 s.
TIMEOUT_SECONDS = 8.0
WAIT_SECONDS = 30
# Of one look at the room.
MAX_EVENTS = 100

Event = dict[str, Any]


class MatrixError(Exception):
    """The homeserver does not do what it was asked."""

    def __init__(self, status: int, said: dict[str, Any]) -> None:
        super().__init__(f"the homeserver answers {status} {said.get('errcode', '')}: {said.get('error', '')}")
        self.status = status


class Room:
    def __init__(self, web: Web, homeserver: str, token: SecretFile, room: str) -> None:
        self._web, self._base, self._token = web, f"{homeserver}/_matrix/client/v3", token
        self._room, self._path = room, f"/rooms/{quote(room, safe='')}"

    def me(self) -> str:
        return str(self._call("GET", "/account/whoami")["user_id"])

    def send(self, once: str, content: dict[str, Any], kind: str = "m.room.message") -> str:
        """Puts an event into the room and returns its id. Sent again under the same `once`, it is the same event."""
        path = f"{self._path}/send/{kind}/{quote(once, safe='')}"
        return str(self._call("PUT", path, content)["event_id"])

    def has(self, user: str) -> bool:
        """Whether they are in the room now."""
        state = self._state("m.room.member", user)
        return state is not None and state.get("membership") == "join"

    def is_encrypted(self) -> bool:
        return self._state("m.room.encryption", "") is not None

    def now(self) -> str:
        """Where the room is now: events from here on are new."""
        return str(self._sync(None, 0)["next_batch"])

    def events_after(self, since: str) -> tuple[list[Event], bool, str]:
        """What happened since, whether it is not all of it, and where the room is now. Waits for something to happen."""
        answer = self._sync(since, WAIT_SECONDS)
        timeline = answer.get("rooms", {}).get("join", {}).get(self._room, {}).get("timeline", {})
        return timeline.get("events", []), bool(timeline.get("limited")), str(answer["next_batch"])

    def _state(self, kind: str, key: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", f"{self._path}/state/{kind}/{quote(key, safe='')}")
        except MatrixError as error:
            if error.status == 404:
                return None
            raise

    def _sync(self, since: str | None, wait_seconds: int) -> dict[str, Any]:
        none: dict[str, list[str]] = {"types": []}
        timeline = {"types": ["m.reaction", "m.room.message"], "limit": MAX_EVENTS}
        room = {"rooms": [self._room], "timeline": timeline, "state": none, "ephemeral": none, "account_data": none}
        query = {
            "filter": json.dumps({"room": room, "presence": none, "account_data": none}),
            "timeout": str(wait_seconds * 1000),
            **({"since": since} if since else {}),
        }
        return self._call("GET", f"/sync?{urlencode(query)}", wait_seconds=wait_seconds)

    def _call(
        self, method: str, path: str, content: dict[str, Any] | None = None, wait_seconds: float = 0
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token.read()}"}
        body = None if content is None else json.dumps(content).encode()
        status, said = self._web.send(method, self._base + path, headers, body, TIMEOUT_SECONDS + wait_seconds)
        if status != 200:
            raise MatrixError(status, said)
        return said
