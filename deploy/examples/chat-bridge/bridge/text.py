"""A request as the room shows it. What somebody else wrote stays text: no markup, no link, no mention, no hidden character."""

import html
import json
from dataclasses import dataclass
from typing import Any

# Of an event Matrix takes 64 KiB; the homeserver adds to it.
MAX_CONTENT_BYTES = 56 * 1024
MAX_LISTED = 20
APPROVE, DENY = "✅", "❌"
STATES = {
    "pending": ("⏳", "waits for approval"),
    "approved": (APPROVE, "is approved"),
    "denied": (DENY, "was denied"),
    "expired": ("⌛", "was not approved in time, or is over"),
    "withdrawn": ("↩", "was withdrawn"),
    "used": ("🏁", "was approved and ran"),
}


@dataclass(frozen=True)
class Shown:
    """The content of an event, and whether it says everything that an approval is for."""

    content: dict[str, Any]
    whole: bool


@dataclass(frozen=True)
class _Line:
    label: str
    value: str
    is_block: bool = False

    def plain(self) -> str:
        # Indented: no line of a block passes for one of ours.
        shown = visible(self.value)
        return f"{self.label}:\n" + _indented(shown) if self.is_block else f"{self.label}: {_one_line(shown)}"

    def html(self) -> str:
        label, shown = html.escape(self.label), visible(self.value)
        if self.is_block:
            return f"<p>{label}:</p><pre><code>{html.escape(shown)}</code></pre>"
        return f"{label}: <code>{html.escape(_one_line(shown))}</code><br>"


def visible(text: str) -> str:
    """The text with every character seen: what turns the direction, or shows nothing, is written as its number."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{{{ord(c):x}}}" for c in text)


def request(approval: dict[str, Any], review_url: str | None) -> Shown:
    """Whole only with the digest: without it nothing can be approved here."""
    lines, whole = _lines(approval), "digest" in approval
    content = _content(approval, lines, whole, review_url)
    if len(json.dumps(content, ensure_ascii=False).encode()) > MAX_CONTENT_BYTES:
        lines, whole = [line for line in lines if not line.is_block], False
        content = _content(approval, lines, whole, review_url)
    return Shown(content, whole)


def edit(shown: Shown, event_id: str) -> Shown:
    """In the place of an event that is there already."""
    content = {
        **message("* " + shown.content["body"].split("\n", 1)[0]),
        "m.new_content": shown.content,
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }
    return Shown(content, shown.whole)


def message(body: str, kind: str = "m.text") -> dict[str, Any]:
    """A message that mentions nobody, whatever is in it."""
    return {"msgtype": kind, "body": body, "m.mentions": {}}


def notice(body: str, reply_to: str | None = None) -> dict[str, Any]:
    relation = {"m.relates_to": {"m.in_reply_to": {"event_id": reply_to}}} if reply_to else {}
    return message(visible(body), "m.notice") | relation


def _content(approval: dict[str, Any], lines: list[_Line], whole: bool, url: str | None) -> dict[str, Any]:
    emoji, is_now = STATES.get(approval["state"], ("❔", f"is {approval['state']}"))
    what = "Access to" if approval["kind"] == "access" else "A statement on"
    target = (approval["target"] or {}).get("name", "a target")
    head, how = visible(f"{emoji} {what} {target} {is_now}"), _how(approval, whole)
    body = [head, *(line.plain() for line in lines), *how, *([url] if url else [])]
    rest = "<br>".join(html.escape(text) for text in how)
    link = f'<br><a href="{html.escape(url)}">Everything about it, on its page</a>' if url else ""
    formatted = f"<p><b>{html.escape(head)}</b></p>" + "".join(line.html() for line in lines) + f"<p>{rest}{link}</p>"
    return {
        **message("\n".join(body)),
        "format": "org.matrix.custom.html",
        "formatted_body": formatted,
    }


def _how(approval: dict[str, Any], whole: bool) -> list[str]:
    if approval["state"] != "pending":
        return []
    if whole:
        return [f"React with {APPROVE} or {DENY}, or reply `approve` or `deny` and a comment."]
    return [
        "This message does not have the whole statement: it can be approved on its page only.",
        f"React with {DENY}, or reply `deny` and a comment, to deny it.",
    ]


def _lines(approval: dict[str, Any]) -> list[_Line]:
    asks = approval["principal"] or {}
    name = f"{asks.get('display_name')} ({asks.get('kind')} {asks.get('subject')} of {asks.get('issuer')})"
    lines = [_Line("Asks", name)]
    lines += [_Line("On behalf of", asks["owner"])] if asks.get("owner") else []
    lines += [_Line("Acts for it", actor["subject"]) for actor in approval["delegation"]]
    lines += [_Line(fact.capitalize(), text) for fact, text in approval["agent"].items() if isinstance(text, str)]
    lines += _access(approval["access"]) if approval["kind"] == "access" else _command(approval["command"], approval["target"])
    lines += [_Line("Why it waits", reason) for reason in approval["reasons"]]
    lines.append(_Line("Must agree", _groups(approval["requirements"])))
    for answer in approval["answers"]:
        said = "agreed" if answer["agrees"] else "denied it"
        comment = f": {answer['comment']}" if answer.get("comment") else ""
        lines.append(_Line("Answer", f"{answer['reviewer']['display_name']} {said}{comment}"))
    if approval["state"] in ("pending", "approved"):
        lines += [_Line("Still missing", _groups(approval["missing"]))] if approval["missing"] else []
        lines.append(_Line("Until", approval["stands_until"]))
    lines += [_Line("Cause", approval["cause"])] if approval.get("cause") else []
    return lines


def _access(access: dict[str, Any]) -> list[_Line]:
    return [_Line("For", f"{access['seconds']} s"), _Line("Reason", access["reason"])]


def _command(command: dict[str, Any], target: dict[str, Any] | None) -> list[_Line]:
    lines, kinds = [], command.get("kinds", [])
    if "statement" in command:
        lines.append(_Line("Statement", command["statement"], is_block=True))
    if command.get("parameters"):
        values = [f"${n} = {_value(one['value'])}" for n, one in enumerate(command["parameters"], 1)]
        lines.append(_Line("Parameters", "\n".join(values), is_block=True))
    tables = [".".join(part for part in (one.get("schema"), one["name"]) if part) for one in command.get("tables", [])]
    lines += [_Line("Tables", _list(tables))] if tables else []
    lines += [_Line("Labels", _list(command["labels"]))] if command.get("labels") else []
    if "estimated_rows" in command:
        lines.append(_Line("Changes about, at most", f"{command['estimated_rows']} rows"))
    if {"update", "delete"} & set(kinds):
        lines.append(_Line("Has a WHERE clause", "yes" if command["has_where"] else "NO"))
    if command["opaque"]:
        # Of a request or a tool's call, only its target knows more than that.
        is_sql = target is None or target["kind"] == "postgresql"
        what = "it runs code whose effect cannot be seen from its text" if is_sql else "it may change what is there"
        lines.append(_Line("Beware", what))
    return lines


def _value(value: dict[str, Any]) -> str:
    if value["form"] == "null":
        return "NULL"
    # As JSON, so that a line break in a value does not begin the next one.
    return ("" if value["form"] == "text" else f"{value['form']} ") + json.dumps(value["value"], ensure_ascii=False)


def _groups(requirements: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['quorum']} of {one['group']}" for one in requirements) or "nobody"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
