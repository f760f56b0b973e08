"""A second implementation of the protocol: the Python SDK signs in by OAuth from the address alone.

    python sign_in.py MCP_URL

It prints the address to open as `open URL`, waits for the browser at its own listener, calls
hosts_list, waits until its access token has expired, calls again, and prints `done` with how many
different access tokens it had.
"""

import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata


class Storage:
    """Tokens in memory, with all access tokens there ever were."""

    def __init__(self):
        self.tokens, self.client, self.seen = None, None, set()

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.seen.add(tokens.access_token)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Listener:
    """The loopback address to which the browser is sent."""

    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/callback"

    async def serve(self, reader, writer):
        path = (await reader.readline()).decode().split(" ")[1]
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()
        if not self.answer.done():
            self.answer.set_result(query)

    async def wait(self):
        query = await self.answer
        return AuthorizationCodeResult(
            code=query["code"], state=query.get("state"), iss=query.get("iss")
        )


async def show(url):
    print("open", url, flush=True)


async def hosts(session):
    result = await session.call_tool("hosts_list", {})
    assert not result.is_error, result
    return [host["name"] for host in result.structured_content["hosts"]]


async def main(url):
    storage, listener = Storage(), Listener()
    metadata = OAuthClientMetadata(
        client_name="Python SDK",
        redirect_uris=[await listener.start()],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    auth = OAuthClientProvider(url, metadata, storage, show, listener.wait)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=60) as client,
        streamable_http_client(url, http_client=client) as (read, write, *_),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        print("tools", len((await session.list_tools()).tools), flush=True)
        print("hosts", *await hosts(session), flush=True)
        await asyncio.sleep(storage.tokens.expires_in + 1)
        print("hosts", *await hosts(session), flush=True)
    print("done", len(storage.seen), flush=True)


asyncio.run(main(sys.argv[1]))
