//! What factoryup is compared with, from the registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The versions that are compared with.
const PEERS: [&str; 4] = ["copier==9.19.1", "cruft==2.16.0", "cookiecutter==2.7.1", "uv==0.13.9"];

/// Installs the peers below `target/`, once, and returns where their programs are.
pub fn install() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-peers");
    let bin = folder.join("bin");
    if fs::read_to_string(folder.join("installed")).ok().as_deref() != Some(&PEERS.join(" ")) {
        println!("installing {} into {}", PEERS.join(", "), folder.display());
        let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(bin.join("pip")).args(["install", "--quiet"]).args(PEERS));
        fs::write(folder.join("installed"), PEERS.join(" ")).unwrap();
    }
    bin
}
