"""One session, one connection: what a takeover shows to others (PROTOCOL section 1)."""

from support.clients import new_session


async def test_a_session_is_never_shown_to_others(dev, connect, room):
    session, ada = new_session(), await connect(dev, user="ada")
    await ada.join(room)
    bob = await connect(dev, user="bob", session=session)
    await bob.join(room, state={"x": 1})
    await bob.text(room, content="x")
    await ada.take({"type": "text"})
    await bob.close()
    await ada.take({"type": "presence", "data": {"event": "leave"}})
    assert session not in str(ada.seen)
    assert session not in dev.output


async def test_a_room_that_the_new_connection_does_not_join_is_left(serve, connect, room):
    rules = [{"pattern": "*", "anonymous": ["*"], "presence": {"grace_seconds": 1}}]
    server, session = serve(rooms=rules), new_session()
    watcher = await connect(server)
    await watcher.join(room)
    old = await connect(server, session=session)
    await old.join(room)
    new = await connect(server, session=session)
    await watcher.take({"type": "presence", "data": {"event": "leave", "user": new.user}})
    await new.settled()
