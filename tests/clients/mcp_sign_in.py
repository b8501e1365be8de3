"""The Python library's own authorization, and a person who signs in on the pages of `oidc-provider`."""
import re
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl

REDIRECT = "http://127.0.0.1:33418/callback"


class Kept(TokenStorage):
    tokens = None
    client = OAuthClientInformationFull(
        client_id="desktop-agent", redirect_uris=[AnyUrl(REDIRECT)], token_endpoint_auth_method="none"
    )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


async def signing_in(url, person, say):
    came = {}

    async def show(page):
        say({"signs_in": parse_qs(urlsplit(page).query)["scope"][0]})
        answers = {"login": {"prompt": "login", "login": person, "password": "any"}, "consent": {"prompt": "consent"}}
        async with httpx2.AsyncClient(timeout=20) as browser:
            answer = await browser.get(page)
            for _ in range(20):
                if answer.is_redirect:
                    place = urljoin(str(answer.url), answer.headers["location"])
                    if place.startswith(REDIRECT):
                        came.update(parse_qs(urlsplit(place).query))
                        return
                    answer = await browser.get(place)
                    continue
                form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="([a-z]+)"', answer.text)
                if not (form and prompt):
                    raise RuntimeError(f"{answer.status_code}: {answer.text}")
                answer = await browser.post(urljoin(str(answer.url), form[1]), data=answers[prompt[1]])
        raise RuntimeError("the provider's pages lead nowhere")

    async def come_back():
        return AuthorizationCodeResult(code=came["code"][0], state=came["state"][0], iss=came.get("iss", [None])[0])

    metadata = OAuthClientMetadata(
        client_name="Desktop agent", redirect_uris=[AnyUrl(REDIRECT)], token_endpoint_auth_method="none",
        grant_types=["authorization_code", "refresh_token"], response_types=["code"],
    )
    return OAuthClientProvider(
        server_url=url, client_metadata=metadata, storage=Kept(), redirect_handler=show, callback_handler=come_back
    )
