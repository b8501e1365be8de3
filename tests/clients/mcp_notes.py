"""A server of the Model Context Protocol on standard input and output, as fastmcp makes one: it keeps notes."""
import os

from fastmcp import FastMCP

notes = []
server = FastMCP("notes")


@server.tool
def add(text: str) -> dict:
    """Adds a note."""
    notes.append(text)
    return {"notes": len(notes), "process": os.getpid()}


@server.tool(annotations={"readOnlyHint": True})
def read() -> dict:
    """Reads all notes."""
    return {"notes": notes}


server.run(show_banner=False)
