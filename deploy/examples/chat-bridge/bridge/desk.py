"""Between the two: a message of the gateway becomes an event of the room, an answer in the room one to the gateway."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from . import text
from .gateway import Answer, Message, Verdict
from .matrix import Event, MatrixError, Room
from .store import Posted, Store
from .web import Unreachable

# What looks alike on keyboards; a variation selector behind it means nothing.
MARKS = {"✅": "approve", "✔": "approve", "❌": "deny", "✖": "deny"}
WORDS = {"approve", "deny"}
OVER = {"denied", "expired", "withdrawn", "used"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pressed:
    """An answer as the room has it: under which event, and what."""

    under: str
    word: str
    comment: str | None


class Desk:
    def __init__(self, room: Room, store: Store, me: str, pass_on: Callable[[Answer], Verdict]) -> None:
        self._room, self._store, self._me, self._pass_on = room, store, me, pass_on
        self._taking = threading.Lock()

    def take(self, message: Message) -> None:
        """Shows what the gateway tells. A crash at any place is made up for when it tells it again."""
        approval = message.approval
        with self._taking:
            before = self._store.of_request(approval["approval_id"])
            if before is not None and before.has_heard(message.id, message.at):
                return
            shown = text.request(approval, message.review_url)
            event = text.edit(shown, before.event_id) if before else shown
            event_id = self._room.send(message.id, event.content)
            posted = Posted(
                approval_id=approval["approval_id"],
                event_id=before.event_id if before else event_id,
                digest=approval["digest"] if shown.whole else None,
                message_id=message.id,
                at=message.at.isoformat(),
                is_over=approval["state"] in OVER,
            )
            self._store.put(posted)
            log.info("%s is %s in the room", message.id, event_id)
            if before is None and not posted.is_over:
                self._offer(posted)

    def hear(self, event: Event) -> None:
        """Passes on what somebody answered, in the name that the homeserver gives them."""
        sender, event_id, pressed = str(event["sender"]), str(event["event_id"]), pressed_in(event)
        posted = self._store.of_event(pressed.under) if pressed else None
        if pressed is None or posted is None or sender == self._me or not self._room.has(sender):
            return
        if pressed.word == "approve" and posted.digest is None:
            self._tell(event_id, posted, f"{sender}: not counted: approve it on its page, where the statement is.")
            return
        answer = Answer(
            # It stands in the audit as `token_id`. The contract of signatures leaves no room for a dot.
            id=event_id.replace(".", "_"),
            approval_id=posted.approval_id,
            word=pressed.word,
            reviewer=sender,
            digest=posted.digest,
            comment=pressed.comment,
        )
        verdict = self._pass_on(answer)
        log.info("%s answers %s to %s: %s %s", sender, answer.word, answer.approval_id, verdict.status, verdict.code)
        self._tell(event_id, posted, f"{sender}: {told(pressed.word, verdict)}")

    def missed_some(self) -> None:
        self._send("missed", text.notice("Some answers may not have been read: answer again where nothing followed."))

    def _offer(self, posted: Posted) -> None:
        """Marks to press. Without them a reviewer picks one."""
        for mark in (text.APPROVE, text.DENY) if posted.digest else (text.DENY,):
            relation = {"rel_type": "m.annotation", "event_id": posted.event_id, "key": mark}
            self._send(f"{posted.message_id}_{mark}", {"m.relates_to": relation}, "m.reaction")

    def _tell(self, once: str, posted: Posted, said: str) -> None:
        self._send(f"told_{once}", text.notice(said, posted.event_id))

    def _send(self, once: str, content: Event, kind: str = "m.room.message") -> None:
        """What is good to have in the room, and not worth a second try of what came before."""
        try:
            self._room.send(once, content, kind)
        except (MatrixError, Unreachable) as error:
            log.warning("the room was not told: %s", error)


def pressed_in(event: Event) -> Pressed | None:
    """The answer that an event is, if it is one."""
    content = _part(event, "content")
    relation = _part(content, "m.relates_to")
    if event.get("type") == "m.reaction":
        word = MARKS.get(str(relation.get("key")).removesuffix("\ufe0f"))
        return Pressed(str(relation.get("event_id")), word, None) if word else None
    # Whoever changes what they wrote writes a new reply. A notice is what programs write.
    if content.get("msgtype") != "m.text" or relation.get("rel_type") == "m.replace":
        return None
    is_thread = relation.get("rel_type") == "m.thread"
    under = relation.get("event_id") if is_thread else _part(relation, "m.in_reply_to").get("event_id")
    lines = str(content.get("body", "")).split("\n")
    # Older clients quote what they reply to.
    while lines and (lines[0].startswith("> ") or not lines[0].strip()):
        lines.pop(0)
    word, *comment = "\n".join(lines).split(maxsplit=1) or [""]
    word = word.rstrip(":,.!").lower()
    return Pressed(str(under), word, comment[0].strip() if comment else None) if word in WORDS else None


def _part(of: Event, key: str) -> Event:
    """An object within an object; nothing where somebody put something else."""
    part = of.get(key)
    return part if isinstance(part, dict) else {}


def told(word: str, verdict: Verdict) -> str:
    """What the gateway made of an answer, for the room."""
    if not verdict.counts:
        why = verdict.said.get("message") or f"the gateway answers {verdict.status}"
        known = "not counted" if verdict.status < 500 else "it is not known whether it counts"
        return f"{known}: {why}"
    missing = ", ".join(f"{one['quorum']} of {one['group']}" for one in verdict.said.get("missing", []))
    still = f", still missing {missing}" if missing and verdict.said.get("state") == "pending" else ""
    return f"{word} counted: it is {verdict.said.get('state')}{still}."
