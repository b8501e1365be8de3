"""The bridge at work: it takes messages by HTTP, and reads the room."""

import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .config import Config, ConfigError
from .desk import Desk
from .gateway import Malformed, Message, Unsigned
from .matrix import MatrixError, Room
from .store import Store, StoreError
from .web import Unreachable

PATH = "/tallyport"
MAX_MESSAGE_BYTES = 1024 * 1024
PAUSE_SECONDS = 5
log = logging.getLogger(__name__)


def serve(config: Config, room: Room, store: Store, desk: Desk) -> None:
    """For as long as the bridge runs: messages on a thread each, the room on this one."""
    server = ThreadingHTTPServer(config.listen, inbox(config, desk))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log.info("serving on http://%s:%s%s", *config.listen, PATH)
    while True:
        try:
            read_on(room, store, desk)
        except (MatrixError, Unreachable) as error:
            if isinstance(error, MatrixError) and error.status in (401, 403):
                raise
            log.error("the room cannot be read now: %s", error)
            time.sleep(PAUSE_SECONDS)


def read_on(room: Room, store: Store, desk: Desk) -> None:
    """A crash right here: what was heard is heard once more, and one answer counts once."""
    if store.since is None:
        store.read_until(room.now())
        return
    events, is_part, since = room.events_after(store.since)
    if is_part:
        desk.missed_some()
    for event in events:
        desk.hear(event)
    store.read_until(since)


def inbox(config: Config, desk: Desk) -> type[BaseHTTPRequestHandler]:
    def take(headers: dict[str, str], body: bytes) -> int:
        try:
            desk.take(Message.verified(config.secret, headers, body))
            return 204
        except Unsigned as error:
            log.warning("a message was refused: %s", error)
            return 401
        except Malformed as error:
            log.error("a message was refused: %s", error)
            return 400
        except (ConfigError, StoreError, MatrixError, Unreachable) as error:
            log.error("a message was not taken, and comes again: %s", error)
            return 503

    class Inbox(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path != PATH or not length.isdecimal():
                self.answer(404)
            elif int(length) > MAX_MESSAGE_BYTES:
                self.answer(413)
            else:
                self.answer(take(dict(self.headers.items()), self.rfile.read(int(length))))

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """What is worth a line is logged where it is known."""

    return Inbox
