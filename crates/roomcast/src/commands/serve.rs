//! `roomcast serve`: a server for others, as configured. Refuses to start where nobody could prove who they are.

use super::layers::{self, Layers, LogArgs, flag};
use crate::{
    assembly::{Assembly, Mode, data_directory},
    config::{Config, Loaded, Origin},
    failure::Failure,
    listen::{self, Listening, Wanted},
};

const EXAMPLES: &str = "\
Examples:
  roomcast serve                                   with the roomcast.toml of this directory
  roomcast serve --config /etc/roomcast.toml --listen 127.0.0.1:9000
  roomcast serve --set limits.sends_per_second=20 --log-format json
  ROOMCAST_AUTH_SECRET=… roomcast serve            without any file";

/// Run it for others, with keys and rules from a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: Layers,
    /// Addresses to listen on, separated by commas [default: port 8000 of every address]
    #[arg(long, value_name = "ADDR", value_parser = listen::flag_value)]
    listen: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    /// Serves until it is told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let listen = flag("--listen", "server.listen", self.listen.as_ref());
        let mut loaded = self.layers.load(self.log.flags().into_iter().chain(listen).collect())?;
        loaded.require_keys();
        let (config, loaded) = layers::usable(loaded)?;
        let families_optional = *loaded.origin("server.listen") == Origin::Default;
        // QUIC is never in the clear: what stands in front and speaks TLS for us can't pass it on.
        let quic = config.server.webtransport && config.server.tls_certificate.is_some();
        let listening = listen::bind(&config.server.listen, Wanted { families_optional, quic })?;
        let banner = banner(&listening, &config, &loaded);
        Assembly::new(Mode::Serve, config, &loaded)?.run(listening, &banner)
    }
}

/// Where it listens and in which mode.
fn banner(listening: &Listening, config: &Config, loaded: &Loaded) -> String {
    let auth = &config.auth;
    let keys = usize::from(auth.secret.is_some()) + auth.keys.len() + auth.api_keys.len();
    let plural = if keys == 1 { "" } else { "s" };
    let file = loaded.report.document.as_ref();
    let source = file.map_or("no file".into(), |document| document.path.display().to_string());
    let kept = data_directory(config, loaded)
        .map_or("memory only".into(), |directory| format!("messages in {}", directory.display()));
    let scheme = if config.server.tls_certificate.is_some() { "https" } else { "http" };
    format!(
        "Roomcast serve on {}: {keys} key{plural}, {kept}, configured by {source}",
        listening.describe(scheme)
    )
}
