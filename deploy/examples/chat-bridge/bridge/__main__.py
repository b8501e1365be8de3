"""python3 -m bridge [--check] CONFIG"""

import argparse
import logging
import sys
from pathlib import Path

from .config import Config, ConfigError
from .desk import Desk
from .gateway import Answer, Gateway
from .matrix import MatrixError, Room
from .service import serve
from .store import Store, StoreError
from .web import Unreachable, Web


def main() -> int:
    parser = argparse.ArgumentParser(prog="bridge", description="Tallyport's requests for approvals in a Matrix room.")
    parser.add_argument("--check", action="store_true", help="say whether everything is in order, and end")
    parser.add_argument("config", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = Config.load(arguments.config)
        room = Room(Web(config.matrix_ca), config.homeserver, config.token, config.room)
        gateway = Gateway(Web(config.tallyport_ca), config.answers_url, config.answers_secret)
        me = in_order(room)
        if arguments.check:
            knows_us(gateway, me)
            print(f"in order: {me} is in the room, and the gateway takes what is signed here")
            return 0
        store = Store(config.state_file)
        serve(config, room, store, Desk(room, store, me, gateway.pass_on))
    except KeyboardInterrupt:
        pass
    except (ConfigError, StoreError, MatrixError, Unreachable, OSError) as error:
        print(f"bridge: {error}", file=sys.stderr)
        return 1
    return 0


def in_order(room: Room) -> str:
    """Who the bridge is, in a room where it can work."""
    me = room.me()
    if not room.has(me):
        raise ConfigError(f"room: {me} is not in it; invite it, and let it join")
    if room.is_encrypted():
        raise ConfigError("room: it is encrypted, so answers cannot be read; take one that is not")
    return me


def knows_us(gateway: Gateway, me: str) -> None:
    """An answer of the bridge itself, for whom nobody vouches, to no request: refused by that name, if it is signed well."""
    nothing = Answer("check", "00000000-0000-7000-8000-000000000000", "deny", me, None, None)
    verdict = gateway.pass_on_once(nothing)
    if verdict.code != "unknown_reviewer":
        raise ConfigError(f"the gateway answers {verdict.status} {verdict.code}: {verdict.said.get('message', '')}")


if __name__ == "__main__":
    sys.exit(main())
