//! A WebSocket echo server on the bare codec: the smallest driver around it, and what Autobahn's cases run
//! against. Echoes text and binary up to 16 MiB, compressed where the client offers it.
//!
//! `cargo run --release --example ws_echo -- --listen 127.0.0.1:9001`

use std::io;
use std::time::Duration;

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderValue, Request, Response};
use roomcast_websocket::frame::{self, Header};
use roomcast_websocket::handshake::{self, Refusal};
use roomcast_websocket::{
    CloseCode, Decoder, DecoderLimits, Deflate, Event, OpCode, Role, Violation, deflate,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 16 << 20, fragments_max: 1 << 20 };
const READ_BYTES: usize = 64 * 1024;
const REQUEST_BYTES_MAX: usize = 16 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(listen_address()?).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(socket).await {
                eprintln!("connection lost: {error}");
            }
        });
    }
}

fn listen_address() -> io::Result<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => Ok("127.0.0.1:0".to_owned()),
        [flag, address] if flag == "--listen" => Ok(address.clone()),
        other => Err(io::Error::other(format!("unknown arguments {other:?}: use --listen ADDRESS:PORT"))),
    }
}

async fn serve(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut input = Vec::with_capacity(READ_BYTES);
    let head = timeout(REQUEST_TIMEOUT, read_request(&mut socket, &mut input)).await??;
    let Some((request, head_bytes)) = head else { return Ok(()) };
    match open(&request) {
        Ok((response, deflate)) => {
            socket.write_all(&head_of(&response)).await?;
            let decoder = Decoder::new(Role::Server, LIMITS, deflate);
            let echo = Echo { decoder, deflate, out: Vec::new() };
            run(socket, echo, input.split_off(head_bytes)).await
        }
        Err(refusal) => {
            let response = refusal.response();
            socket.write_all(&head_of(&response)).await?;
            socket.write_all(response.body().as_bytes()).await?;
            finish(socket).await
        }
    }
}

/// The request's head and its size, or `None` if the client left before it was whole.
async fn read_request(
    socket: &mut TcpStream,
    input: &mut Vec<u8>,
) -> io::Result<Option<(Request<()>, usize)>> {
    while socket.read_buf(input).await? > 0 {
        if let Some(parsed) = parse_request(input)? {
            return Ok(Some(parsed));
        }
        if input.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::other(format!("request head above {REQUEST_BYTES_MAX} bytes")));
        }
    }
    Ok(None)
}

fn parse_request(input: &[u8]) -> io::Result<Option<(Request<()>, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = parsed.parse(input).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut request = Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .version(if parsed.version == Some(1) { http::Version::HTTP_11 } else { http::Version::HTTP_10 });
    for header in parsed.headers {
        request = request.header(header.name, header.value);
    }
    Ok(Some((request.body(()).map_err(io::Error::other)?, head_bytes)))
}

fn open(request: &Request<()>) -> Result<(Response<()>, Option<Deflate>), Refusal> {
    let upgrade = handshake::check_request(request)?;
    let mut response = upgrade.response();
    let agreed = upgrade.deflate().and_then(|(deflate, extensions)| {
        response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(&extensions).ok()?);
        Some(deflate)
    });
    Ok((response, agreed))
}

fn head_of<B>(response: &Response<B>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A connection's state between two reads.
struct Echo {
    decoder: Decoder,
    deflate: Option<Deflate>,
    out: Vec<u8>,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum Next {
    Read,
    Finish,
}

async fn run(mut socket: TcpStream, mut echo: Echo, mut input: Vec<u8>) -> io::Result<()> {
    loop {
        let next = echo.answer(&mut input);
        socket.write_all(&echo.out).await?;
        echo.out = Vec::new();
        if next == Next::Finish {
            return finish(socket).await;
        }
        input.resize(READ_BYTES, 0);
        match socket.read(&mut input).await? {
            0 => return Ok(()),
            read => input.truncate(read),
        }
    }
}

impl Echo {
    /// Answers everything in `input`; a violation is answered by the Close frame that names it.
    fn answer(&mut self, input: &mut [u8]) -> Next {
        self.answer_events(input).unwrap_or_else(|violation| {
            frame::append_close(&mut self.out, violation.close_code(), &violation.to_string());
            Next::Finish
        })
    }

    fn answer_events(&mut self, input: &mut [u8]) -> Result<Next, Violation> {
        let Self { decoder, deflate, out } = self;
        let mut at = 0;
        while let Some(event) = decoder.next(input, &mut at)? {
            match event {
                Event::Text(text) => append_message(out, OpCode::Text, text.as_bytes(), *deflate),
                Event::Binary(bytes) => append_message(out, OpCode::Binary, bytes, *deflate),
                Event::Ping(payload) => frame::append(out, OpCode::Pong, payload),
                Event::Pong(_) => {}
                Event::Close(reason) => {
                    let code = reason.map_or(CloseCode::NORMAL, |(code, _)| code);
                    frame::append_close(out, code, "");
                    return Ok(Next::Finish);
                }
            }
        }
        Ok(Next::Read)
    }
}

/// Appends a message, compressed where that was agreed on: also if that makes it longer, because some of
/// Autobahn's cases only count compressed answers, but not beyond the limit, which a peer may share.
fn append_message(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], agreed: Option<Deflate>) {
    let mut compressed = Vec::new();
    if let Some(agreed) = agreed {
        deflate::compress(payload, agreed.window_bits(), &mut compressed);
        if compressed.len() <= LIMITS.message_bytes_max as usize {
            return Header::new(opcode, compressed.len()).rsv1(true).append_with(&compressed, out);
        }
    }
    frame::append(out, opcode, payload);
}

/// Ends the connection so that the peer reads our last word: closing a socket with unread input would send
/// a reset, which overtakes the Close frame.
async fn finish(mut socket: TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    let drain = async {
        let mut unread = vec![0; READ_BYTES];
        while socket.read(&mut unread).await? > 0 {}
        Ok(())
    };
    timeout(CLOSE_TIMEOUT, drain).await.unwrap_or(Ok(()))
}
