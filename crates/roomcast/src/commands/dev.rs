//! `roomcast dev`: a server to try things out, reached from this machine only. It has no keys, reads no file and
//! keeps nothing, unless it is told where.

use std::{net::SocketAddr, path::Path};

use roomcast_protocol::Rights;

use super::layers::{self, LogArgs, flag};
use crate::{
    assembly::{Assembly, Mode, data_directory},
    config::{Config, Engine, Loaded, Origin, Rule},
    failure::Failure,
    listen::{self, Listening, Wanted},
};

const EXAMPLES: &str = "\
Examples:
  roomcast dev                            then open http://127.0.0.1:8000 in two tabs
  roomcast dev --listen 127.0.0.1:9000
  roomcast dev --data dev-data            keeps the messages there
  roomcast dev --listen localhost:0       any free port; the first line says which";

/// Try it: a server for this machine, without keys, with a playground at /
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A loopback address to listen on; port 0 takes any free one [default: localhost:8000]
    #[arg(long, value_name = "ADDR", value_parser = listen::flag_value)]
    listen: Option<String>,
    /// A directory to keep the messages in [default: memory only]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    /// Serves until it is told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let disk = self.data.as_ref().map(|_| Engine::Disk.word().to_owned());
        let flags = self
            .log
            .flags()
            .into_iter()
            .chain(flag("--listen", "server.listen", self.listen.as_ref()))
            .chain(flag("--data", "engine", disk.as_ref()))
            .chain(flag("--data", "disk.directory", self.data.as_ref()));
        let (config, loaded) = layers::usable(layers::without_file(&flags.collect::<Vec<_>>()))?;
        let (addresses, families_optional) = addresses(&config, loaded.origin("server.listen"))?;
        let wanted = Wanted { families_optional, quic: config.server.webtransport };
        let listening = listen::bind(&addresses, wanted)?;
        tell_ignored_keys(&loaded);
        let config = open(config, &loaded);
        let banner = banner(&listening, data_directory(&config, &loaded).as_deref());
        Assembly::new(Mode::Dev, config, &loaded)?.run(listening, &banner)
    }
}

/// Where to listen, and whether a family that the machine lacks may be left out.
fn addresses(config: &Config, origin: &Origin) -> Result<(Vec<SocketAddr>, bool), Failure> {
    let wanted = &config.server.listen;
    if *origin == Origin::Default {
        return Ok((listen::loopback(8000), true));
    }
    if let Some(address) = wanted.iter().find(|address| !address.ip().is_loopback()) {
        return Err(Failure::with_help(
            format!(
                "`dev` has no keys, so it listens on this machine only; {address} ({}) could be reached from others",
                origin.describe(None)
            ),
            "use a loopback address such as 127.0.0.1, or serve others with `roomcast init` and `roomcast serve`",
        ));
    }
    let any_port = wanted.iter().all(|address| address.port() == 0);
    Ok(if any_port { (listen::loopback(0), true) } else { (wanted.clone(), false) })
}

/// Everybody may do everything, without keys and, unless it was asked for, without a rate or a disk.
fn open(mut config: Config, loaded: &Loaded) -> Config {
    config.auth.secret = None;
    config.auth.keys.clear();
    config.auth.api_keys.clear();
    if *loaded.origin("limits.sends_per_second") == Origin::Default {
        config.limits.sends_per_second = 0;
    }
    if *loaded.origin("engine") == Origin::Default {
        config.engine = Engine::Memory;
    }
    config.rooms.extend(Rule::catch_all());
    for rule in &mut config.rooms {
        (rule.users, rule.anonymous) = (Rights::ALL, Rights::ALL);
    }
    config
}

/// Keys in the environment are meant for `serve`: say that they don't count here.
fn tell_ignored_keys(loaded: &Loaded) {
    for entry in &loaded.entries {
        if entry.key.starts_with("auth.") && entry.origin != Origin::Default {
            anstream::eprintln!("note: {} is ignored: `dev` has no keys", entry.origin.describe(None));
        }
    }
}

/// Where it listens and in which mode, then how to see a first message.
fn banner(listening: &Listening, data: Option<&Path>) -> String {
    let url = listening.url("http");
    let kept = data.map_or("memory only".into(), |data| format!("messages in {}", data.display()));
    format!(
        "Roomcast dev on {}: no keys, {kept}, playground at /\n\
         \n  \
         Open {url} in two tabs and chat, or say something from another terminal:\n\n    \
         curl {url}/rooms/general/messages -d '{{\"type\":\"text\",\"data\":{{\"content\":\"Hello\"}}}}'\n\n  \
         Ctrl-C stops it.\n",
        listening.describe("http")
    )
}
