//! A connection without a socket: makes the requests that [`HttpLink`] wants, and tells it what came of them. What
//! they say is not its business.

use std::{
    collections::BTreeMap,
    error::Error,
    future::pending,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use roomcast_session::client::{
    self as session, Secret, Transport,
    http::{Fetch, HttpLink, Reply, Step, Ticket, Told, Wanted},
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout_at},
};

use crate::{
    access::Access,
    dial::{Dialer, Socket},
    inbox::Inbox,
};

/// How long a request may take to be answered.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer: a poll of many rooms may have many pages in it.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Parts of answers that wait for the client's task.
const PARTS_MAX: usize = 16;
/// How long a connection is kept for the next request. Servers and proxies keep it longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: &str = "text/event-stream";

/// What is heard of a request.
#[derive(Debug)]
enum Part {
    Chunk(Bytes),
    End(Result<Reply, String>),
}

/// A connection.
pub(crate) struct Link {
    machine: HttpLink,
    requests: Requests,
    /// They end with this.
    running: JoinSet<()>,
    handles: BTreeMap<Ticket, AbortHandle>,
    parts: mpsc::Receiver<(Ticket, Part)>,
    tell: mpsc::Sender<(Ticket, Part)>,
    heard: Option<(Ticket, Part)>,
}

impl Link {
    pub(crate) fn new(access: Arc<Access>, transport: Transport, token: Option<Secret>) -> Self {
        let (tell, parts) = mpsc::channel(PARTS_MAX);
        Self {
            machine: HttpLink::new(transport, ANSWER_TIMEOUT, token),
            requests: Requests::new(access),
            running: JoinSet::new(),
            handles: BTreeMap::new(),
            parts,
            tell,
            heard: None,
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.machine.send(text);
    }

    pub(crate) fn ping(&mut self) {
        self.machine.ping();
    }

    pub(crate) fn close(&mut self) {
        self.machine.close();
    }

    /// Waits until something has come, or for ever if what came before is still to be told: the server waits then,
    /// too. Cancel-safe.
    pub(crate) async fn ready(&mut self) {
        if self.machine.has_more() {
            pending::<()>().await;
        }
        if self.heard.is_none() {
            self.heard = self.parts.recv().await;
        }
    }

    /// Takes what has come.
    pub(crate) fn hear(&mut self) {
        match self.heard.take() {
            Some((ticket, Part::Chunk(chunk))) => self.machine.chunk(ticket, &chunk),
            Some((ticket, Part::End(outcome))) => {
                self.handles.remove(&ticket);
                self.machine.answered(ticket, outcome);
            }
            None => {}
        }
        while self.running.try_join_next().is_some() {}
    }

    /// Makes the requests that are due, until there is something to tell the client.
    pub(crate) fn step<T>(&mut self, client: &session::Client<Inbox, T>) -> Option<Told> {
        loop {
            match self.machine.poll(client.readers())? {
                Step::Tell(told) => return Some(told),
                Step::Fetch(ticket, fetch) => self.start(ticket, fetch),
                Step::Drop(ticket) => drop(self.handles.remove(&ticket).map(|handle| handle.abort())),
            }
        }
    }

    fn start(&mut self, ticket: Ticket, fetch: Fetch) {
        let (requests, tell) = (self.requests.clone(), self.tell.clone());
        let handle = self.running.spawn(async move {
            let outcome = requests.make(&fetch, (ticket, &tell)).await;
            // Whoever would hear it may have gone.
            let _ = tell.send((ticket, Part::End(outcome))).await;
        });
        self.handles.insert(ticket, handle);
    }
}

/// What requests are made with.
#[derive(Clone)]
struct Requests {
    access: Arc<Access>,
    client: legacy::Client<Connector, Full<Bytes>>,
}

impl Requests {
    fn new(access: Arc<Access>) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connector(access.dialer.clone()));
        Self { access, client }
    }

    /// Makes a request. An answer in parts is told part by part, and then that it has ended.
    async fn make(
        &self,
        fetch: &Fetch,
        (ticket, tell): (Ticket, &mpsc::Sender<(Ticket, Part)>),
    ) -> Result<Reply, String> {
        let what = format!("{} {}", fetch.method.name(), fetch.path);
        let deadline = Instant::now() + fetch.timeout;
        let late = |_| format!("no answer to {what} within {} s", fetch.timeout.as_secs());
        let response = timeout_at(deadline, self.client.request(self.request(fetch)?)).await.map_err(late)?;
        let response = response.map_err(|error| format!("no answer to {what}: {}", innermost(&error)))?;
        let status = response.status();
        if fetch.wanted == Wanted::Parts && status == StatusCode::OK {
            check_stream(&response).map_err(|why| format!("{what}: {why}"))?;
            let mut body = response.into_body();
            // It begins with a word; after that silence is judged by who listens.
            let mut next = timeout_at(deadline, body.frame()).await.map_err(late)?;
            while let Some(frame) = next {
                let frame = frame.map_err(|error| format!("the stream broke: {}", innermost(&error)))?;
                if let Ok(chunk) = frame.into_data() {
                    // Whoever would hear it may have gone; then this is dropped soon.
                    let _ = tell.send((ticket, Part::Chunk(chunk))).await;
                }
                next = body.frame().await;
            }
            return Ok(Reply { status: status.as_u16(), body: String::new() });
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = timeout_at(deadline, body).await.map_err(late)?;
        let body = body.map_err(|error| format!("the answer to {what} broke: {}", innermost(&*error)))?;
        let body = String::from_utf8(body.to_bytes().into());
        let body = body.map_err(|error| format!("the answer to {what} is no UTF-8: {error}"))?;
        Ok(Reply { status: status.as_u16(), body })
    }

    fn request(&self, fetch: &Fetch) -> Result<Request<Full<Bytes>>, String> {
        let address = &self.access.dialer.address;
        let path = self.access.path(&fetch.path, &fetch.query);
        let uri = Uri::builder().scheme(address.scheme()).authority(address.authority().clone());
        let uri = uri.path_and_query(path).build().expect("an address that was read, and a path");
        let body = fetch.body.clone().map(Bytes::from).unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = match fetch.method {
            session::http::Method::Get => Method::GET,
            session::http::Method::Post => Method::POST,
            session::http::Method::Delete => Method::DELETE,
        };
        *request.uri_mut() = uri;
        *request.headers_mut() = self.access.headers(fetch.token.as_deref())?;
        if fetch.body.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        if fetch.wanted == Wanted::Parts {
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        }
        Ok(request)
    }
}

/// Whatever else answers in the server's place is no stream.
fn check_stream(response: &Response<Incoming>) -> Result<(), String> {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(EVENT_STREAM.as_bytes()) {
        return Ok(());
    }
    Err(format!("answered by {:?} and not by a stream of events", String::from_utf8_lossy(kind)))
}

/// What is behind an error that says no more than where it happened.
fn innermost(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// Dials for the pool of connections.
#[derive(Clone)]
struct Connector(Dialer);

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(dialer.dial().await?)) })
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::random;

    #[tokio::test]
    async fn no_more_is_heard_while_there_is_something_to_tell() {
        let address = "http://127.0.0.1:1".parse().expect("an address");
        let dialer = Dialer::new(address, &[]).expect("no TLS");
        let access = Access { dialer, session: random::session(), user: None };
        let mut link = Link::new(Arc::new(access), Transport::Events, None);
        let client = session::Client::<Inbox, ()>::new(session::Settings::default());
        assert!(link.step(&client).is_none(), "the stream is asked for");
        let ticket = *link.handles.keys().next().expect("a request");
        for _ in 0..2 {
            let chunk = Bytes::from_static(b"data: {\"type\":\"novelty\",\"data\":{}}\n\n");
            link.tell.send((ticket, Part::Chunk(chunk))).await.expect("a place");
        }
        link.ready().await;
        link.hear();
        assert!(link.ready().now_or_never().is_none(), "two messages must be told first");
        while link.step(&client).is_some() {}
        assert!(link.ready().now_or_never().is_some());
    }
}
