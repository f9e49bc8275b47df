"""One session, one connection: takeover, and the race that `attempt` settles (PROTOCOL section 1)."""

from support.clients import both_peers, new_session


@both_peers
async def test_the_newer_connection_takes_the_session_over(dev, connect, room):
    session, watcher = new_session(), await connect(dev, user="ada")
    await watcher.join(room)
    old = await connect(dev, user="bob", session=session)
    await old.join(room)
    await watcher.take({"type": "presence", "data": {"event": "join", "user": "bob"}})
    new = await connect(dev, user="bob", session=session)
    assert (await old.closed()).code == 4009
    assert (await new.join(room))["count"] == 2
    await new.text(room, content="still bob")
    await watcher.take({"type": "text"})
    assert watcher.all({"type": "presence", "data": {"event": "leave"}}) == []
    assert len(watcher.all({"type": "presence", "data": {"event": "join"}})) == 1


@both_peers
async def test_a_lower_attempt_never_displaces_a_higher_one(dev, connect):
    session = new_session()
    winner = await connect(dev, session=session, attempt=5)
    loser = await connect(dev, welcomed=False, session=session, attempt=4)
    assert (await loser.closed()).code == 4009
    await winner.settled()
    newer = await connect(dev, session=session, attempt=6)
    assert (await winner.closed()).code == 4009
    await newer.settled()


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
