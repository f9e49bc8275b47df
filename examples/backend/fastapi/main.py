"""A back end in FastAPI. It mints tokens for its users, publishes in the name of the office, and reads the room: who asks
a question there gets an answer of its bot. The secret and the API key come from the environment, as they would in
production."""

import asyncio
import contextlib
import logging
import os
import time
import uuid

import fastapi
import httpx
import jwt
from httpx_sse import aconnect_sse
from pydantic import BaseModel

SECRET = os.environ["ROOMCAST_AUTH_SECRET"]
ROOM = "chat:lobby"
TOKEN_SECONDS = 600
# The stream says something every 15 s; one that is silent for longer is dead.
SILENCE_SECONDS = 40
RETRY_SECONDS = 2

roomcast = httpx.AsyncClient(
    base_url=os.environ["ROOMCAST_URL"],
    headers={"authorization": f"Bearer {os.environ['ROOMCAST_API_KEY']}"},
    timeout=httpx.Timeout(10, read=SILENCE_SECONDS),
)


# 1. Mint.


def mint(user):
    return jwt.encode({"sub": user, "exp": int(time.time()) + TOKEN_SECONDS}, SECRET, algorithm="HS256")


# 2. Publish. With the API key a back end may name any author. Sent again with the same id, a message is there once.


async def publish(author, content, id=None):
    message = {"type": "text", "id": id or str(uuid.uuid4()), "data": {"content": content, "author": author}}
    answer = await roomcast.post(f"/rooms/{ROOM}/messages", json=message)
    answer.raise_for_status()
    return answer.json()


# 3. Read. Each block of the stream has the position after it. Where one breaks off, the next goes on, so that nothing is
# missed; what `take` failed at comes again.


async def read(take):
    position = ""
    while True:
        try:
            headers = {"Last-Event-ID": position} if position else {}
            async with aconnect_sse(roomcast, "GET", f"/events/{ROOM}", headers=headers) as stream:
                stream.response.raise_for_status()
                async for event in stream.aiter_sse():
                    await take(event.json(), event.id)
                    position = event.id
        except httpx.HTTPError as error:
            logging.warning("the stream has ended: %r", error)
        await asyncio.sleep(RETRY_SECONDS)


async def bot(message, position):
    match message:
        case {"type": "system", "data": {"event": "welcome"}}:
            # Within five minutes an id is said once, however often the stream begins anew.
            await publish("bot", "Ask me a question.", "hello")
        case {"type": "text", "data": {"author": author, "content": str(content)}} if content.endswith("?"):
            # The id is the question's place: two of these programs, or one that does it twice, still answer once.
            await publish("bot", f"Good question, {author}.", f"answer-{position}")


# What the page asks for. Who somebody is, your log-in knows; this one believes everybody, and lets everybody announce.


@contextlib.asynccontextmanager
async def lifespan(_):
    reading = asyncio.create_task(read(bot))
    yield
    reading.cancel()
    await roomcast.aclose()


app = fastapi.FastAPI(lifespan=lifespan)


class Name(BaseModel):
    name: str


class Announcement(BaseModel):
    text: str


@app.post("/api/token")
def token(body: Name):
    return {"token": mint(body.name)}


@app.post("/api/announce")
async def announce(body: Announcement):
    return await publish("office", body.text)
