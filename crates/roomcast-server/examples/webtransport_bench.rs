//! What a reader by WebTransport costs the server, beside what QUIC itself takes for the same bytes: one write on a
//! stream, or one datagram, per reader.
//!
//! `cargo run --release -p roomcast-server --features webtransport --example webtransport_bench -- [READERS] [RATE] [SECONDS]`
//!
//! Each server is a process of its own, whose CPU time is read from /proc (so Linux); the readers are this process.

use std::{
    env, fs, future,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use roomcast_hub::Hub;
use roomcast_protocol::{CountedReader, Grants, Limits, counted};
use roomcast_server::{
    App, Listeners, Settings, ShortLived,
    auth::{Authenticator, Origins},
    serve,
};
use tokio::{
    task::JoinSet,
    time::{interval, sleep},
};
use web_transport_quinn::{
    Client, ClientBuilder, RecvStream, SendStream, ServerBuilder, Session, quinn::rustls,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

const KIND: &str = r#"{"type":"bench.message""#;
/// How long sessions get to settle, and messages to arrive.
const SETTLE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["floor", way] => return floor(way == "datagram").await,
        ["roomcast", _] => return roomcast().await,
        _ => {}
    }
    let number = |i: usize, default: u32| arguments.get(i).map_or(Ok(default), |text| text.parse());
    let (readers, rate, seconds) = (number(0, 500)?, number(1, 50)?, number(2, 10)?);
    println!(
        "| {readers} readers, {rate} messages a second | CPU per delivery | delivered | resident each |"
    );
    println!("|---|---|---|---|");
    for way in ["stream", "datagram"] {
        for server in ["floor", "roomcast"] {
            let [cpu_us, delivered, resident_kb] = measure(server, way, (readers, rate, seconds)).await?;
            println!("| {server}, {way} | {cpu_us:.2} µs | {delivered:.1} % | {resident_kb:.1} KB |");
        }
    }
    Ok(())
}

/// One server under one load: CPU per delivery in µs, how many of 100 deliveries came, KB of memory for each reader.
async fn measure(
    server: &str,
    way: &str,
    (readers, rate, seconds): (u32, u32, u32),
) -> Result<[f64; 3], Error> {
    let process = Process::start(server, way)?;
    let (client, empty) = (client()?, process.resident_bytes()?);
    let (seen, mut sessions, mut reading) = (Arc::new(AtomicU64::new(0)), Vec::new(), JoinSet::new());
    for reader in 0..readers {
        let (session, sending, receiving) = connect(&client, process.address, reader).await?;
        reading.spawn(count_messages(receiving, seen.clone()));
        reading.spawn(count_datagrams(session.clone(), seen.clone()));
        sessions.push((session, sending));
    }
    sleep(SETTLE).await;
    let resident_bytes = process.resident_bytes()? - empty;
    let cpu = process.cpu_us()?;
    let message = published(way == "datagram");
    let mut tick = interval(Duration::from_secs(1) / rate);
    for _ in 0..rate * seconds {
        tick.tick().await;
        sessions[0].1.write_all(&message).await?;
    }
    sleep(SETTLE).await;
    let (due, cpu) = (f64::from(readers * rate * seconds), process.cpu_us()? - cpu);
    let delivered = 100.0 * seen.load(Ordering::Relaxed) as f64 / due;
    Ok([cpu / due, delivered, resident_bytes / 1024.0 / f64::from(readers)])
}

/// A server that was started for this; it ends with it.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(server: &str, way: &str) -> Result<Self, Error> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.args([server, way]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    /// CPU time of all its threads.
    fn cpu_us(&self) -> Result<f64, Error> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let ns = tasks.filter_map(|task| {
            let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<f64>().ok()
        });
        Ok(ns.sum::<f64>() / 1_000.0)
    }

    fn resident_bytes(&self) -> Result<f64, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(kb.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// The readers.

fn client() -> Result<Client, Error> {
    // Who is at the other end is known: it was started here.
    Ok(ClientBuilder::new().dangerous().with_no_certificate_verification()?)
}

async fn connect(
    client: &Client,
    address: SocketAddr,
    reader: u32,
) -> Result<(Session, SendStream, RecvStream), Error> {
    let url = format!("https://{address}/wt/bench?user=reader{reader}&presence=0");
    let session = client.connect(url.parse::<url::Url>()?).await?;
    let (sending, receiving) = session.open_bi().await?;
    Ok((session, sending, receiving))
}

async fn count_messages(mut stream: RecvStream, seen: Arc<AtomicU64>) {
    let mut messages = CountedReader::new(usize::MAX);
    while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
        messages.take(&chunk.bytes);
        while let Ok(Some(is_ours)) = messages.next(|message| message.starts_with(KIND)) {
            seen.fetch_add(u64::from(is_ours), Ordering::Relaxed);
        }
    }
}

async fn count_datagrams(session: Session, seen: Arc<AtomicU64>) {
    while session.read_datagram().await.is_ok() {
        seen.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the first reader says, after its length: 128 bytes of data.
fn published(is_volatile: bool) -> Vec<u8> {
    let text = "x".repeat(128 - r#"{"text":""}"#.len());
    let mut bytes = Vec::new();
    let message = format!(r#"{KIND},"volatile":{is_volatile},"data":{{"text":"{text}"}}}}"#);
    counted::push(message.as_bytes(), &mut bytes);
    bytes
}

// The servers.

/// Writes a ready-made message to every session for each that comes from any, and does nothing else.
async fn floor(as_datagram: bool) -> Result<(), Error> {
    let certificate = rcgen::generate_simple_self_signed(["localhost".into()])?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der())?;
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let mut server = ServerBuilder::new()
        .with_addr(address)
        .with_certificate(vec![certificate.cert.der().clone()], key)?;
    println!("{}", server.local_addr()?);
    let text = "x".repeat(128 - r#"{"text":""}"#.len());
    // What Roomcast makes of the same message, by its length.
    let message = format!(
        r#"{KIND},"room":"bench","seq":100,"data":{{"text":"{text}","author":"reader0"}},"timestamp":1711000000.123}}"#
    );
    let mut frame = Vec::new();
    counted::push(message.as_bytes(), &mut frame);
    let (mut sessions, (said, mut hears)) = (Vec::new(), tokio::sync::mpsc::channel(64));
    loop {
        tokio::select! {
            request = server.accept() => {
                let session = request.ok_or("closed")?.ok().await?;
                let (sending, receiving) = session.accept_bi().await?;
                tokio::spawn(hear(receiving, said.clone()));
                sessions.push((session, sending));
            }
            Some(()) = hears.recv() => for (session, sending) in &mut sessions {
                if as_datagram {
                    session.send_datagram(message.clone().into_bytes().into())?;
                } else {
                    sending.write_all(&frame).await?;
                }
            }
        }
    }
}

async fn hear(mut stream: RecvStream, said: tokio::sync::mpsc::Sender<()>) {
    let mut messages = CountedReader::new(usize::MAX);
    while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
        messages.take(&chunk.bytes);
        while let Ok(Some(())) = messages.next(|_| ()) {
            let _ = said.send(()).await;
        }
    }
}

/// The real server, with everything open.
async fn roomcast() -> Result<(), Error> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let udp = UdpSocket::bind(tcp.local_addr()?)?;
    println!("{}", udp.local_addr()?);
    let authenticator =
        Authenticator { anonymous: Arc::new(Grants::all()), named_guests: true, ..Authenticator::default() };
    let app = App {
        hub: Hub::builder().limits(Limits { sends_per_second: 0, ..Limits::default() }).build(),
        authenticator: Arc::new(authenticator),
        origins: Origins::loopback(),
        cookie: None,
        playground: false,
        pin: None,
    };
    let settings = Settings { quic: Some(ShortLived::new()?.tls()), ..Settings::default() };
    let listeners = Listeners { tcp: vec![tcp], udp: vec![udp] };
    Ok(serve(Arc::new(app), listeners, settings, future::pending()).await?)
}
