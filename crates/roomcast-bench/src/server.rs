//! The server that is measured: one that runs already, one started for the purpose, or the floor.
//! It ends those that it started.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::{PathAndQuery, Uri};
use roomcast_websocket::handshake;

use crate::args::ServerArgs;
use crate::error::Error;
use crate::process::Probe;
use crate::worker::Door;

const DEFAULT_URL: &str = "http://127.0.0.1:8000";
const DEFAULT_PATH: &str = "/ws";
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long a started server may take until it prints its address.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Where the floor server is to be found: this very program, by its own hidden subcommand.
const FLOOR_COMMAND: [&str; 2] = ["bench", "floor-server"];

/// A server that is ready to be measured.
#[derive(Debug)]
pub(crate) struct Server {
    /// What to call it in a report.
    pub(crate) name: String,
    pub(crate) door: Door,
    /// Its processes, or why they can't be looked at.
    pub(crate) probe: Result<Probe, String>,
    /// Ends with this, if it was started here.
    _process: Option<Process>,
}

impl Server {
    /// The server that `args` name; a command is started anew at each call.
    pub(crate) fn open(args: &ServerArgs) -> Result<Self, Error> {
        if let Some(command) = &args.server_cmd {
            return Self::start(command, args.token.as_deref());
        }
        let url = args.url.as_deref().unwrap_or(DEFAULT_URL);
        let door = door(url, args.token.as_deref())?;
        let probe = args.pid.map_or_else(|| Probe::listening_on(door.address), Probe::of);
        Ok(Self { name: url.to_owned(), door, probe, _process: None })
    }

    /// The floor, with deliveries of `frame_bytes`.
    pub(crate) fn floor(frame_bytes: usize) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::io("find this program"))?;
        let mut command = Command::new(program);
        command.args(FLOOR_COMMAND).args(["--frame-bytes", &frame_bytes.to_string()]);
        let mut server = Self::spawn(command, "roomcast bench floor-server", None)?;
        server.name = "floor".into();
        Ok(server)
    }

    fn start(command: &str, token: Option<&str>) -> Result<Self, Error> {
        let unusable = |why: &str| Error::Command { command: command.to_owned(), why: why.to_owned() };
        let words = shlex::split(command).ok_or_else(|| unusable("has an open quote"))?;
        let (program, arguments) = words.split_first().ok_or_else(|| unusable("is empty"))?;
        let mut process = Command::new(program);
        process.args(arguments);
        Self::spawn(process, command, token)
    }

    fn spawn(mut process: Command, command: &str, token: Option<&str>) -> Result<Self, Error> {
        let failed = |why: String| Error::Command { command: command.to_owned(), why };
        // The floor server ends when its input does, so it can't outlive a bench that was killed.
        let child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = Process(child.map_err(|error| failed(format!("can't be started: {error}")))?);
        let url = process.url().map_err(failed)?;
        let door = door(&url, token)?;
        let probe = Probe::of(process.0.id());
        Ok(Self { name: format!("`{command}`"), door, probe, _process: Some(process) })
    }
}

/// A process that ends when this does.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Waits for the line that says where the server listens.
    fn url(&mut self) -> Result<String, String> {
        let stdout = self.0.stdout.take().ok_or("has no output")?;
        match url_in_output(stdout).recv_timeout(START_PATIENCE) {
            Ok(url) => Ok(url),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(format!("printed no address for {} s", START_PATIENCE.as_secs()))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => match self.0.wait() {
                Ok(status) => Err(format!("ended ({status}) before it printed an address")),
                Err(error) => Err(format!("closed its output: {error}")),
            },
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends the first address printed, and reads on so that the server never waits for us.
fn url_in_output(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (found, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut found = Some(found);
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if let (Some(url), Some(sender)) = (url_in(&String::from_utf8_lossy(&line)), &found) {
                // The bench may have given up waiting.
                let _ = sender.send(url.to_owned());
                found = None;
            }
        }
    });
    receiver
}

fn url_in(line: &str) -> Option<&str> {
    let url = &line[line.find("http://")?..];
    let end = url.find(|char: char| char.is_whitespace() || char.is_control() || "\"'`<>,".contains(char));
    Some(url[..end.unwrap_or(url.len())].trim_end_matches(['.', ')', ';', ':']))
}

/// Resolves a URL and checks that somebody listens there.
fn door(url: &str, token: Option<&str>) -> Result<Door, Error> {
    let wrong = |why: String| Error::Url { url: url.to_owned(), why };
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    if !matches!(uri.scheme_str(), Some("http" | "ws")) {
        return Err(wrong(format!("{} isn't supported", uri.scheme_str().unwrap_or_default())));
    }
    let authority = uri.authority().ok_or_else(|| wrong("it has no host".into()))?;
    let host = authority.host().trim_matches(['[', ']']);
    let addresses = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs();
    let addresses: Vec<SocketAddr> = addresses.map_err(|error| wrong(error.to_string()))?.collect();
    let address = first_open(&addresses).unwrap_or_else(|| Err(wrong("its host has no address".into())))?;
    let path = path(&uri, token).map_err(wrong)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(Error::Random)?;
    let key = handshake::key(random);
    Ok(Door { address, request: handshake::request(authority, &path, &HeaderMap::new(), &key), key })
}

fn path(uri: &Uri, token: Option<&str>) -> Result<PathAndQuery, String> {
    let path = if uri.path() == "/" { DEFAULT_PATH } else { uri.path() };
    let token = token.map(|token| format!("token={token}"));
    let query: Vec<&str> = uri.query().into_iter().chain(token.as_deref()).collect();
    let separator = if query.is_empty() { "" } else { "?" };
    let path = format!("{path}{separator}{}", query.join("&"));
    path.parse().map_err(|_| "its path or the token has characters that a URL may not have".to_owned())
}

/// The first address that takes a connection; `None` if there is no address at all.
fn first_open(addresses: &[SocketAddr]) -> Option<Result<SocketAddr, Error>> {
    let try_one = |&address: &SocketAddr| match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
        Ok(_) => Ok(address),
        Err(source) => Err(Error::Unreachable { address, source }),
    };
    let mut tried = None;
    for address in addresses {
        match try_one(address) {
            Ok(address) => return Some(Ok(address)),
            Err(error) => tried = tried.or(Some(Err(error))),
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_address_is_found_in_what_a_server_prints() {
        let check = |line: &str, expected| assert_eq!(url_in(line), expected, "{line}");
        check("roomcast dev: http://127.0.0.1:8000 and http://[::1]:8000", Some("http://127.0.0.1:8000"));
        check("listening on http://127.0.0.1:4711.", Some("http://127.0.0.1:4711"));
        check("serving on http://127.0.0.1:4711: tokens needed", Some("http://127.0.0.1:4711"));
        check("\u{1b}[1mhttp://[::1]:80/\u{1b}[0m", Some("http://[::1]:80/"));
        check("starting", None);
    }

    #[test]
    fn a_url_becomes_an_address_and_a_request() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let check = |url: String, token, path: &str| {
            let door = door(&url, token).unwrap();
            assert_eq!(door.address, address);
            let request = String::from_utf8(door.request).unwrap();
            assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n")), "{request}");
        };
        check(format!("{address}"), None, "/ws");
        check(format!("http://{address}"), Some("a.b-c"), "/ws?token=a.b-c");
        check(format!("ws://{address}/realtime/ws?user=ada"), Some("t"), "/realtime/ws?user=ada&token=t");
    }

    #[test]
    fn a_url_that_leads_nowhere_says_why() {
        let check = |url: &str, seen: &str| {
            let text = door(url, None).unwrap_err().to_string();
            assert!(text.contains(seen), "{text}");
        };
        check("https://127.0.0.1:1", "https isn't supported");
        check("http://127.0.0.1:1", "can't connect to 127.0.0.1:1");
        check("http://", "http://");
    }

    #[test]
    fn a_command_that_does_not_serve_says_why() {
        let check = |command: &str, seen: &str| {
            let text = Server::start(command, None).unwrap_err().to_string();
            assert!(text.contains(seen), "{text}");
        };
        check("'open", "open quote");
        check("", "is empty");
        check("/nonexistent/roomcast dev", "can't be started");
        check("true", "ended (exit status: 0) before it printed an address");
    }
}
