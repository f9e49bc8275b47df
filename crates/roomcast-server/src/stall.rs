//! Answers over HTTP/2 whose client takes nothing of them. Each has a deadline of its own: to cut the connection
//! would end its neighbours, which may be well. What an answer says, nothing here knows.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Error, body::Body};
use hyper::{
    Response,
    body::{Bytes, Frame, SizeHint},
    rt::Executor,
};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

/// At most this much is handed over at once. h2 takes a piece whole for one byte of window, and keeps it for as long
/// as its client lets the connection live.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Nothing waits for the client.
const IDLE: u8 = 0;
/// The client was just given something, and must ask for more.
const GIVEN: u8 = 1;
/// That was seen, and its time is running.
const TIMED: u8 = 2;

/// What an answer waits for. Only the task of its stream looks at it.
#[derive(Clone, Debug, Default)]
struct Progress(Arc<AtomicU8>);

tokio::task_local! {
    static PROGRESS: Progress;
}

/// Runs the streams of a connection, each until it ends or its client has taken nothing for too long.
#[derive(Clone, Debug)]
pub(crate) struct Attended {
    timeout: Duration,
    /// Each stream holds its other side.
    running: Arc<watch::Sender<()>>,
}

impl Attended {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, running: Arc::default() }
    }

    pub(crate) fn has_streams(&self) -> bool {
        !self.running.is_closed()
    }

    /// Waits until there is no stream.
    pub(crate) async fn until_none(&self) {
        self.running.closed().await;
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Attended {
    fn execute(&self, stream: F) {
        let (timeout, running) = (self.timeout, self.running.subscribe());
        tokio::spawn(async move {
            attend(stream, timeout).await;
            drop(running);
        });
    }
}

async fn attend(stream: impl Future, timeout: Duration) {
    let progress = Progress::default();
    let mut stream = pin!(PROGRESS.scope(progress.clone(), stream));
    let mut late: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match progress.0.load(Relaxed) {
            IDLE => late = None,
            GIVEN => {
                progress.0.store(TIMED, Relaxed);
                late = Some(Box::pin(sleep(timeout)));
            }
            _ => {}
        }
        late.as_mut().map_or(Poll::Pending, |late| late.as_mut().poll(cx))
    })
    .await;
}

/// The same answer, to a client that is expected to take it. Made by the stream's task.
pub(crate) fn attended(answer: Response<Body>) -> Response<Body> {
    let Ok(progress) = PROGRESS.try_with(Progress::clone) else { return answer };
    progress.0.store(GIVEN, Relaxed);
    answer.map(|body| Body::new(Pieces { body, rest: Bytes::new(), progress }))
}

/// A body in pieces, of which each is asked for when the client has taken the one before.
struct Pieces {
    body: Body,
    rest: Bytes,
    progress: Progress,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.progress.0.store(IDLE, Relaxed);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.progress.0.store(GIVEN, Relaxed);
        let piece = self.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
