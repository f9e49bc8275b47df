"""Forged, twisted and outlived credentials, and where secrets must never appear."""

import base64
import hashlib
import hmac
import json
import time

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from support.clients import Client
from support.raw import Raw
from support.server import API_KEY, SECRET
from support.tokens import mint


@pytest.fixture(scope="module")
def keys():
    """A private key for each asymmetric algorithm."""
    return {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.fixture
def server(serve, keys):
    configured = [{"id": name, "algorithm": name, "public_key": pem(key)} for name, key in keys.items()]
    return serve(auth={"keys": configured, "audience": "roomcast", "issuer": "tests", "require_exp": True})


def good(**changes):
    return mint(**({"aud": "roomcast", "iss": "tests"} | changes))


def verdict(server, token, path="/ws"):
    """`welcome`, or the close as (code, word)."""
    with Raw(server) as raw:
        raw.upgrade(path, token=token)
        opcode, payload, _ = raw.next_frame()
        if opcode == 1:
            return json.loads(payload)["data"]["event"]
        return int.from_bytes(payload[:2], "big"), payload[2:].decode().split(":")[0]


REFUSED = (1008, "unauthorized")


def unsigned(header, **claims):
    """A token without a signature; a claim given as None is left out."""
    claims = {"sub": "ada", "exp": int(time.time()) + 600, "aud": "roomcast", "iss": "tests"} | claims
    given = {name: value for name, value in claims.items() if value is not None}
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(given).encode())}"


def hs256(header, secret=SECRET, **claims):
    """A signed token that may say anything; a library would refuse to write most of it."""
    signed = unsigned(header, **claims)
    return f"{signed}.{encoded(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def encoded(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def test_each_configured_algorithm_is_taken(server, keys):
    assert verdict(server, good()) == "welcome"
    for name, key in keys.items():
        assert verdict(server, good(secret=key, algorithm=name)) == "welcome", name
        assert verdict(server, good(secret=key, algorithm=name, headers={"kid": name})) == "welcome", name


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS257"])
def test_no_algorithm_is_no_signature(server, algorithm):
    assert verdict(server, unsigned({"alg": algorithm, "typ": "JWT"}) + ".") == REFUSED


def test_a_public_key_is_no_secret(server, keys):
    text = pem(keys["RS256"])
    for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "RS256"}):
        for secret in (text, text.strip()):
            assert verdict(server, hs256(header, secret)) == REFUSED


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_algorithm_is_the_key_s_not_the_token_s(server, algorithm):
    assert verdict(server, good(algorithm=algorithm)) == REFUSED


@pytest.mark.parametrize("kid", ["../../etc/passwd", "/dev/null", "' OR 1=1 --", "RS256\0", "x" * 5000])
def test_a_kid_is_only_a_name(server, kid):
    assert verdict(server, good(headers={"kid": kid})) == REFUSED


def test_a_key_inside_the_token_is_not_used(server):
    key = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    for headers in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/cert"}):
        assert verdict(server, good(secret=key, algorithm="RS256", headers=headers)) == REFUSED


TWISTED = {
    "exp as a string": {"exp": str(int(time.time()) + 600)},
    "exp as a list": {"exp": [int(time.time()) + 600]},
    "exp missing": {"exp": None},
    "exp in the past, as a float": {"exp": time.time() - 100.5},
    "exp negative": {"exp": -1},
    "exp beyond all numbers": {"exp": 10**30},
    "nbf as a string": {"nbf": "0"},
    "nbf in the future": {"nbf": int(time.time()) + 600},
    "sub missing": {"sub": None},
    "sub as a number": {"sub": 5},
    "sub empty": {"sub": ""},
    "aud wrong": {"aud": "else"},
    "aud missing": {"aud": None},
    "iss wrong": {"iss": "else"},
    "iss missing": {"iss": None},
}


@pytest.mark.parametrize("claims", TWISTED)
def test_a_twisted_claim_is_refused(server, claims):
    token = hs256({"alg": "HS256"}, **TWISTED[claims])
    code, word = verdict(server, token)
    assert code == 1008 and word in ("unauthorized", "token_expired")


def test_an_audience_among_several_is_enough(server):
    assert verdict(server, good(aud=["else", "roomcast"])) == "welcome"


def test_without_exp_where_the_config_allows_it(serve):
    server = serve(auth={"require_exp": False})
    assert verdict(server, mint(seconds=None)) == "welcome"


def test_there_is_no_leeway(server):
    assert verdict(server, good(exp=int(time.time()) - 1)) == (1008, "token_expired")


def test_a_token_longer_than_8_kib_is_refused(server):
    assert verdict(server, good(info={"x": "y" * 9000})) == REFUSED


def test_a_signature_changed_in_one_bit_is_refused(server):
    head, signature = good().rsplit(".", 1)
    other = "A" if signature[0] != "A" else "B"
    assert verdict(server, f"{head}.{other}{signature[1:]}") == REFUSED
    assert verdict(server, head + ".") == REFUSED


async def test_a_token_for_another_room_opens_no_other(server):
    ada = await Client.welcomed(server, token=good(rooms={"mine:1": ["*"]}))
    for room in ("mine:2", "mine:11", "xmine:1", "mine", "MINE:1"):
        for type in ("join", "history"):
            assert (await ada.request(type, room))["data"]["code"] == "forbidden", (type, room)
    await ada.join("mine:1")
    await ada.cut()


async def test_revoking_a_user_ends_every_connection_within_a_second(server):
    clients = [await Client.welcomed(server, token=good()) for _ in range(20)]
    started = time.monotonic()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as session:
        async with session.delete(f"{server.http}/users/ada/connections") as answer:
            assert answer.status in (200, 204)
    for client in clients:
        closed = await client.closed()
        assert closed.code == 1008 and closed.reason.startswith("kicked")
    assert time.monotonic() - started < 3, "1 s, and time for a busy machine"


async def test_secrets_appear_nowhere(serve):
    server = serve(log="trace")
    token, bad = mint(), mint(secret="x" * 64)
    ada = await Client.welcomed(server, token=token)
    await ada.join("hall")
    assert verdict(server, bad) == REFUSED
    shown = [json.dumps(await ada.request("auth", data={"token": bad}))]
    async with aiohttp.ClientSession() as session:
        for key in ("rk_not_the_key_not_the_key", API_KEY):
            for path in ("/rooms", "/metrics", "/openapi.json", f"/rooms/hall/messages?token={bad}"):
                async with session.get(
                    server.http + path, headers={"Authorization": f"Bearer {key}"}
                ) as answer:
                    shown += [await answer.text(), str(answer.headers)]
    await ada.close()
    server.terminate()
    server.wait()
    secrets = [
        SECRET,
        API_KEY,
        "rk_not_the_key",
        *token.split(".")[1:],
        bad.split(".")[2],
        ada.welcome["session"],
    ]
    for secret in secrets:
        for text in [*shown, server.output]:
            assert secret not in text
