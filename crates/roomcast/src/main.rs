//! The `roomcast` command.
mod config;
fn main() {
    println!("{}", config::template("x"));
    println!("{}", config::reference());
}
