//! The API from outside: requests into the router, answers out of it.

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, StatusCode};
use roomcast_hub::Hub;
use roomcast_protocol::{Grants, Limits, Pattern, Rights};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    ShortLived,
    auth::{Algorithm, ApiKeys, Authenticator, Key, Keys, Origins, Requirements, Signer},
};

const SECRET: &str = "a secret of 32 bytes and a few more";
const API_KEY: &str = "Bearer rk_0123456789abcdefghijklmnop";
const SESSION: (&str, &str) = ("roomcast-session", "abcdefghijklmnopqrstuv");

/// A server with one secret and one API key, whose rules give guests the rooms below `open:`.
struct Server {
    router: Router,
    polls: Dressed<Straight>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Self { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    #[track_caller]
    fn is_problem(&self, code: Code) {
        assert_eq!(self.status, code.status(), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code.name(), "{problem}");
        assert_eq!(problem["status"], code.status());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
}

impl Server {
    fn new(origins: Origins, limits: Limits) -> Self {
        let rules =
            |pattern: &str| Arc::new(Grants::Rules(vec![(Pattern::new(pattern).unwrap(), Rights::ALL)]));
        let mut api_keys = ApiKeys::default();
        api_keys.add("backend", API_KEY.trim_start_matches("Bearer ")).unwrap();
        let authenticator = Authenticator {
            keys: Keys::new(vec![Key::secret(Algorithm::Hs256, SECRET).unwrap()]).unwrap(),
            requirements: Requirements::default(),
            api_keys,
            users: rules("*"),
            anonymous: rules("open:*"),
            backend: Arc::new(Grants::all()),
            named_guests: false,
            token_bytes_max: limits.token_bytes_max,
        };
        let api = Api::new(Arc::new(App {
            hub: Hub::builder().limits(limits).build(),
            authenticator: Arc::new(authenticator),
            origins,
            cookie: Some("token".into()),
            playground: false,
            pin: Some(ShortLived::new().unwrap().pin()),
        }));
        Self { polls: Straight::dressed(api.clone()), router: routes(api) }
    }

    fn open() -> Self {
        Self::new(Origins::new(["https://app.test"]).unwrap(), Limits::default())
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        Answer::of(self.respond(method, path, headers, body).await).await
    }

    /// The head of an answer, whose body may have no end.
    async fn respond(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let request = request(method, path, headers).body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// A poll past the router.
    async fn straight(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = request("GET", path, headers).body(()).unwrap();
        assert!(Straight::takes(&request), "{path}");
        Answer::of(self.polls.clone().oneshot(request).await.unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[SESSION], body.to_string()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[SESSION], "").await
    }

    async fn backend(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call(method, path, &[("authorization", API_KEY)], body.to_string()).await
    }
}

fn bearer(claims: &Value) -> String {
    format!("Bearer {}", Signer::secret(Algorithm::Hs256, SECRET).unwrap().mint(claims).unwrap())
}

fn text(n: usize) -> Value {
    json!({"type": "text", "data": {"n": n}})
}

#[tokio::test]
async fn a_request_is_limited_as_configured() {
    let limits = Limits { body_bytes_max: 2_000, batch_max: 2, ..Limits::default() };
    let server = Server::new(Origins::new(["https://app.test"]).unwrap(), limits);
    let path = "/rooms/open:x/messages";
    let fits: Value = (0..2).map(text).collect();
    assert_eq!(server.post(path, &fits).await.status, StatusCode::OK);
    let more: Value = (0..3).map(text).collect();
    server.post(path, &more).await.is_problem(Code::TooLarge);
    let long = server.post(path, &json!({"type": "text", "data": {"content": "x".repeat(2_000)}})).await;
    long.is_problem(Code::TooLarge);
    assert!(long.text.contains("2000 bytes"), "{}", long.text);
}

#[tokio::test]
async fn published_and_read_again() {
    let server = Server::open();
    let message = json!({"type": "text", "id": "m1", "data": {"author": "eve", "n": 1}});
    let answer = server.post("/rooms/open:a/messages", &message).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let first = answer.json();
    assert_eq!(
        (&first["status"], &first["room"], &first["seq"]),
        (&json!("delivered"), &json!("open:a"), &json!(1))
    );
    let again = server.post("/rooms/open:a/messages", &message).await.json();
    assert_eq!(
        (&again["seq"], &again["duplicate"], &again["epoch"]),
        (&json!(1), &json!(true), &first["epoch"])
    );
    server.post("/rooms/open%3Aa/messages", &json!({"type": "move", "room": "open:a"})).await;
    let history = server.get("/rooms/open:a/messages").await.json();
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["data"], json!({"n": 1, "author": messages[1]["data"]["author"]}));
    assert!(messages[0]["data"]["author"].as_str().unwrap().starts_with("guest_"));
    assert_eq!(history["complete"], true);
}

#[tokio::test]
async fn history_by_pages() {
    let server = Server::open();
    let many: Value = (1..=5).map(text).collect();
    let epoch = server.post("/rooms/open:a/messages", &many).await.json()[0]["epoch"].clone();
    let epoch = epoch.as_str().unwrap();
    let check = async |query: String, expected: &[u64], complete: bool| {
        let page = server.get(&format!("/rooms/open:a/messages?{query}")).await.json();
        let seqs: Vec<_> =
            page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect();
        assert_eq!((&*seqs, &page["complete"]), (expected, &json!(complete)), "{query}");
    };
    check("limit=2".into(), &[4, 5], false).await;
    check(format!("limit=2&before={epoch}.4"), &[2, 3], false).await;
    check(format!("since={epoch}.3"), &[4, 5], true).await;
    check(format!("since=open%253Aa%3D{epoch}.3&limit=1"), &[4], false).await;
    let foreign = server.get("/rooms/open:a/messages?since=other.1").await.json();
    assert_eq!((&foreign["reset"], &foreign["messages"]), (&json!("epoch"), &json!([])));
    for bad in ["since=nonsense", "limit=0", "limit=-1", "limit=many", "since=e.1&before=e.2", "before=e"] {
        server.get(&format!("/rooms/open:a/messages?{bad}")).await.is_problem(Code::BadRequest);
    }
}

#[tokio::test]
async fn an_array_is_answered_in_order() {
    let server = Server::open();
    let many = json!([text(1), {"type": "ack"}, {"type": "text", "data": []}, {"type": "text", "room": "b"}, 5, text(2)]);
    let answer = server.post("/rooms/open:a/messages", &many).await;
    assert_eq!(answer.status, 200);
    let brief: Vec<_> = answer
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["code"].as_str().map_or_else(|| a["seq"].to_string(), str::to_owned))
        .collect();
    assert_eq!(brief, ["1", "unknown_type", "bad_request", "bad_request", "bad_request", "2"]);
    assert_eq!(server.post("/rooms/open:a/messages", &json!([])).await.text, "[]");
    let hundred: Value = (0..100).map(text).collect();
    assert_eq!(server.post("/rooms/open:a/messages", &hundred).await.json().as_array().unwrap().len(), 100);
    let more: Value = (0..101).map(text).collect();
    server.post("/rooms/open:a/messages", &more).await.is_problem(Code::TooLarge);
}

#[tokio::test]
async fn over_the_rate_the_rest_of_an_array_waits() {
    let server = Server::new(
        Origins::loopback(),
        Limits { sends_per_second: 10, sends_burst: 3, ..Limits::default() },
    );
    let many: Value = (0..6).map(text).collect();
    let answers = server.post("/rooms/open:a/messages", &many).await.json();
    let codes: Vec<_> =
        answers.as_array().unwrap().iter().map(|a| a["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes, ["-", "-", "-", "rate_limited", "rate_limited", "rate_limited"]);
    assert_eq!(answers[5]["retry_after"], 1.0);
    let answer = server.get("/rooms/open:a/messages").await;
    answer.is_problem(Code::RateLimited);
    assert_eq!(answer.headers["retry-after"], "1");
    let backend = server.backend("POST", "/rooms/open:a/messages", &many).await.json();
    assert!(backend.as_array().unwrap().iter().all(|a| a["status"] == "delivered"), "{backend}");
}

#[tokio::test]
async fn an_idempotency_key_is_the_id() {
    let server = Server::open();
    let post = async |key: &str, body: Value| {
        let headers = [SESSION, ("idempotency-key", key)];
        server.call("POST", "/rooms/open:a/messages", &headers, body.to_string()).await
    };
    assert_eq!(post("key-1", text(1)).await.json()["seq"], 1);
    assert_eq!(post("\"key-1\"", text(1)).await.json()["duplicate"], true);
    post("key-1", text(2)).await.is_problem(Code::Conflict);
    assert_eq!(post("m2", json!({"type": "text", "id": "m2"})).await.status, 200);
    post("m3", json!({"type": "text", "id": "m4"})).await.is_problem(Code::BadRequest);
    post("m5", json!([text(1)])).await.is_problem(Code::BadRequest);
    post("", text(1)).await.is_problem(Code::BadRequest);
    post(&"k".repeat(65), text(1)).await.is_problem(Code::BadRequest);
}

#[tokio::test]
async fn what_can_not_be_read() {
    let server = Server::open();
    let check = async |path: &str, body: String, code: Code| {
        server.call("POST", path, &[SESSION], body).await.is_problem(code);
    };
    let messages = "/rooms/open:a/messages";
    for body in [
        "",
        "{",
        "{} {}",
        "\"text\"",
        "[1",
        r#"{"type":"text","room":"open:b"}"#,
        r#"{"type":"text","data":7}"#,
    ] {
        check(messages, body.into(), Code::BadRequest).await;
    }
    for kind in ["system", "join", "typing", "Text"] {
        check(messages, json!({"type": kind}).to_string(), Code::UnknownType).await;
    }
    check(messages, json!({"type": "text", "data": {"x": "y".repeat(70_000)}}).to_string(), Code::TooLarge)
        .await;
    check(messages, " ".repeat(1024 * 1024 + 1), Code::TooLarge).await;
    check("/rooms/a%20b/messages", text(1).to_string(), Code::InvalidRoom).await;
    check("/rooms/a%2Fb/messages", text(1).to_string(), Code::InvalidRoom).await;
    check("/rooms//messages", text(1).to_string(), Code::InvalidRoom).await;
    check("/rooms/a%FF/messages", text(1).to_string(), Code::BadRequest).await;
    for body in ["[]", "5", r#"{},"type":"join","x":{}"#, r#"{"state":5}"#, r#"{"state":{},"state":{}}"#] {
        check("/rooms/open:a/presence", body.into(), Code::BadRequest).await;
    }
    let invalid = server.call("POST", messages, &[SESSION], vec![0xff, 0xfe]).await;
    invalid.is_problem(Code::BadRequest);
}

#[tokio::test]
async fn people_without_a_socket() {
    let server = Server::open();
    let ada = bearer(&json!({"sub": "ada", "info": {"name": "Ada"}}));
    let call = async |method: &str, path: &str, body: &str| {
        server.call(method, path, &[SESSION, ("authorization", &ada)], body.to_owned()).await
    };
    for body in ["", "{}", r#"{"state":{ "away" : true }}"#] {
        let answer = call("POST", "/rooms/r/presence", body).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (200, r#"{"status":"ok"}"#));
    }
    let members = call("GET", "/rooms/r/presence", "").await.json();
    let expected =
        json!([{"user": "ada", "state": {"away": true}, "connections": 1, "info": {"name": "Ada"}}]);
    assert_eq!((&members["members"], &members["count"]), (&expected, &json!(1)));
    assert!(members["v"].is_u64());
    assert_eq!(call("POST", "/rooms/r/typing", "").await.text, r#"{"status":"ok"}"#);
    assert_eq!(call("POST", "/rooms/r/typing", r#"{"typing":false}"#).await.status, 200);
    assert_eq!(call("DELETE", "/rooms/r/presence", "").await.text, r#"{"status":"ok"}"#);
    assert_eq!(call("GET", "/rooms/r/presence", "").await.json()["count"], 0);
}

#[tokio::test]
async fn every_right_is_asked_for() {
    let server = Server::open();
    let doors = [
        ("GET", "messages", "history"),
        ("POST", "messages", "send"),
        ("GET", "presence", "presence"),
        ("POST", "presence", "join"),
        ("DELETE", "presence", "join"),
        ("POST", "typing", "send"),
    ];
    for (method, what, right) in doors {
        for given in ["join", "send", "history", "presence"] {
            let token = bearer(&json!({"sub": "ada", "rooms": {"r": [given], "other": ["*"]}}));
            let body = if what == "messages" { text(1).to_string() } else { "{}".to_owned() };
            let path = format!("/rooms/r/{what}");
            let answer = server.call(method, &path, &[SESSION, ("authorization", &token)], body).await;
            if given == right {
                assert_eq!(answer.status, 200, "{method} {what} with {given}: {}", answer.text);
            } else {
                answer.is_problem(Code::Forbidden);
            }
        }
    }
}

#[tokio::test]
async fn who_asks_is_judged_first() {
    let server = Server::open();
    let with = async |headers: &[(&str, &str)], query: &str| {
        server.call("POST", &format!("/rooms/closed/messages?{query}"), headers, text(1).to_string()).await
    };
    with(&[], "").await.is_problem(Code::Forbidden);
    let refused = with(&[("authorization", "Bearer nonsense")], "").await;
    refused.is_problem(Code::Unauthorized);
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    with(&[("authorization", &bearer(&json!({"sub": "ada", "exp": 1})))], "")
        .await
        .is_problem(Code::TokenExpired);
    with(&[], "session=short").await.is_problem(Code::BadRequest);
    let token = bearer(&json!({"sub": "ada"}));
    let token = token.trim_start_matches("Bearer ");
    assert_eq!(with(&[], &format!("token={token}")).await.status, 200);
    assert_eq!(with(&[("cookie", &format!("token={token}"))], "").await.status, 200);
}

#[tokio::test]
async fn a_cookie_is_no_token_where_any_page_may_ask() {
    let token = bearer(&json!({"sub": "ada"}));
    let cookie = format!("token={}", token.trim_start_matches("Bearer "));
    let headers = [("cookie", &*cookie), ("origin", "https://app.test")];
    let post =
        async |server: Server| server.call("POST", "/rooms/r/messages", &headers, text(1).to_string()).await;
    let answer = post(Server::open()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    let answer = post(Server::new(Origins::new(["*"]).unwrap(), Limits::default())).await;
    answer.is_problem(Code::Unauthorized);
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn a_minted_session_is_told() {
    let server = Server::open();
    let path = "/rooms/open:a/messages";
    let first = server.call("POST", path, &[], text(1).to_string()).await;
    let session = first.headers["roomcast-session"].to_str().unwrap().to_owned();
    let second = server.call("POST", path, &[("roomcast-session", &session)], text(2).to_string()).await;
    assert!(!second.headers.contains_key("roomcast-session"));
    let history = server.get(path).await.json();
    assert_eq!(history["messages"][0]["data"]["author"], history["messages"][1]["data"]["author"]);
}

#[tokio::test]
async fn back_ends_name_any_author() {
    let server = Server::open();
    let to = json!({"rooms": ["a", "b"], "message": {"type": "text", "id": "x", "data": {"author": "ada"}}});
    let answers = server.backend("POST", "/publish", &to).await.json();
    let brief: Vec<_> = answers.as_array().unwrap().iter().map(|a| (&a["room"], &a["seq"])).collect();
    assert_eq!(brief, [(&json!("a"), &json!(1)), (&json!("b"), &json!(1))]);
    server.backend("POST", "/rooms/a/messages", &json!({"type": "text"})).await;
    let history = server.backend("GET", "/rooms/a/messages", &json!(null)).await.json();
    let data: Vec<_> = history["messages"].as_array().unwrap().iter().map(|m| &m["data"]).collect();
    assert_eq!(data, [&json!({"author": "ada"}), &json!({})]);
    let page = server.backend("GET", "/rooms?limit=1", &json!(null)).await.json();
    assert_eq!((&page["rooms"][0]["room"], &page["next"]), (&json!("a"), &json!("a")));
    let rest = server.backend("GET", "/rooms?after=a", &json!(null)).await.json();
    assert_eq!((&rest["rooms"][0]["room"], &rest["next"]), (&json!("b"), &json!(null)));
    let room = server.backend("GET", "/rooms/a", &json!(null)).await.json();
    assert_eq!((&room["seq"], &room["epoch"]), (&json!(2), &answers[0]["epoch"]));
    let ended = server.backend("DELETE", "/users/ada/connections", &json!(null)).await;
    assert_eq!(ended.json(), json!({"status": "ok", "connections": 0}));
    let many = json!({"rooms": vec!["a"; 101], "message": {"type": "text"}});
    server.backend("POST", "/publish", &many).await.is_problem(Code::TooLarge);
    let bad = json!({"rooms": ["a", "b c"], "message": {"type": "text"}});
    server.backend("POST", "/publish", &bad).await.is_problem(Code::InvalidRoom);
}

#[tokio::test]
async fn only_back_ends_may() {
    let server = Server::open();
    let ada = bearer(&json!({"sub": "ada"}));
    for (method, path) in [
        ("GET", "/rooms"),
        ("GET", "/rooms/open:a"),
        ("POST", "/publish"),
        ("DELETE", "/users/ada/connections"),
    ] {
        server.call(method, path, &[("authorization", &ada)], "{}").await.is_problem(Code::Forbidden);
        server.call(method, path, &[], "{}").await.is_problem(Code::Forbidden);
    }
}

#[tokio::test]
async fn pages_that_may_and_pages_that_may_not() {
    let server = Server::open();
    let path = "/rooms/open:a/messages";
    let own = [("origin", "https://app.test")];
    let answer = server.call("POST", path, &own, text(1).to_string()).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.test");
    assert!(answer.headers["access-control-expose-headers"].to_str().unwrap().contains("roomcast-session"));
    let preflight = [own[0], ("access-control-request-method", "DELETE")];
    let answer = server.call("OPTIONS", path, &preflight, "").await;
    assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("DELETE"));
    for origin in ["https://evil.test", "null"] {
        let foreign = [("origin", origin)];
        let answer = server.call("POST", path, &foreign, text(2).to_string()).await;
        answer.is_problem(Code::Forbidden);
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    assert_eq!(
        server.get(path).await.json()["messages"].as_array().unwrap().len(),
        1,
        "the deed was not done"
    );
}

#[tokio::test]
async fn a_poll_is_the_same_by_the_router_and_past_it() {
    let server = Server::open();
    server.post("/rooms/open:a/messages", &text(1)).await;
    let page = ("origin", "https://app.test");
    let requests = [
        ("/poll/open:a?last=1", 200, &[SESSION, page][..]),
        ("/poll/open%3Aa?presence=1", 200, &[SESSION][..]),
        ("/poll?room=open:a&room=open:b", 200, &[("authorization", API_KEY), SESSION][..]),
        ("/poll/open:a?since=none.0", 200, &[SESSION][..]),
        ("/poll/open:a?since=%20", 400, &[SESSION][..]),
        ("/poll", 400, &[SESSION][..]),
        ("/poll/%ff", 400, &[SESSION][..]),
        ("/poll/%01", 400, &[SESSION][..]),
        ("/poll/closed", 403, &[SESSION, page][..]),
        ("/poll/open:a", 403, &[SESSION, ("origin", "https://other.test")][..]),
        ("/poll/open:a?token=a.b.c", 401, &[SESSION, page][..]),
    ];
    for (path, status, headers) in requests {
        let (routed, straight) =
            (server.call("GET", path, headers, "").await, server.straight(path, headers).await);
        assert_eq!(straight.status, status, "{path}: {}", straight.text);
        assert_eq!((routed.status, &routed.text), (straight.status, &straight.text), "{path}");
        // Hyper says how long it is.
        let mut head = routed.headers;
        head.remove("content-length");
        assert_eq!(head, straight.headers, "{path}");
    }
    assert!(server.straight("/poll/open:a", &[]).await.headers.contains_key("roomcast-session"));
    for path in ["/poll/", "/poll/a/b", "/polls", "/poll//", "/events/a"] {
        assert!(!Straight::takes(&request("GET", path, &[]).body(()).unwrap()), "{path}");
    }
    for method in ["HEAD", "OPTIONS", "POST"] {
        assert!(!Straight::takes(&request(method, "/poll", &[]).body(()).unwrap()), "{method}");
    }
}

#[tokio::test]
async fn in_dev_a_foreign_host_reads_nothing() {
    let server = Server::new(Origins::loopback(), Limits::default());
    let path = "/rooms/open:a/messages";
    server.call("GET", path, &[("host", "evil.test:8000")], "").await.is_problem(Code::Forbidden);
    assert_eq!(server.call("GET", path, &[("host", "localhost:8000")], "").await.status, 200);
}

#[tokio::test]
async fn nothing_there_and_not_so() {
    let server = Server::open();
    for path in ["/nowhere", "/rooms/a/b/c", "/rooms/a/messages/"] {
        server.get(path).await.is_problem(Code::NotFound);
    }
    let answer = server.call("PUT", "/rooms/open:a/messages", &[SESSION], "").await;
    answer.is_problem(Code::MethodNotAllowed);
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"), "{:?}", answer.headers);
}

#[tokio::test]
async fn operations() {
    let server = Server::open();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.json(), json!({"status": "ok"}));
    }
    server.post("/rooms/open:a/messages", &text(1)).await;
    let metrics = server.get("/metrics").await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    for line in ["# TYPE roomcast_messages counter", "roomcast_messages_total 1", "roomcast_rooms 1"] {
        assert!(metrics.text.lines().any(|found| found == line), "{line} is not in\n{}", metrics.text);
    }
    for line in metrics.text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("roomcast_"), "{line}");
    }
}

#[tokio::test]
async fn the_description_names_what_there_is() {
    let server = Server::open();
    let description = server.get("/openapi.json").await.json();
    let codes: Vec<_> = Code::ALL.iter().map(|code| json!(code.name())).collect();
    assert_eq!(description["components"]["schemas"]["Code"]["enum"], json!(codes));
    let methods = |item: &Value| {
        let methods = ["get", "post", "delete"].iter().filter(|method| item.get(**method).is_some());
        methods.map(|method| method.to_uppercase()).collect::<Vec<_>>()
    };
    for (path, item) in description["paths"].as_object().unwrap() {
        let path = path.replace("{room}", "open:a").replace("{user}", "ada");
        for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
            let answer = server.respond(method.as_str(), &path, &[("authorization", API_KEY)], "{}").await;
            let is_there = ![404, 405].contains(&answer.status().as_u16());
            assert_eq!(is_there, methods(item).contains(&method.to_string()), "{method} {path}");
        }
    }
}
