//! A real Terraform that needs no network, with one stand-in for GitLab's states that lives as long as a test; see
//! `terraform/offline.py`.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support;

/// The running stand-ins, and the variables by which programs find them.
pub struct Engine {
    process: Child,
    pub variables: Vec<(String, String)>,
}

impl Engine {
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/terraform/offline.py");
        let mut process = Command::new(support::tool("python").unwrap())
            .arg(script)
            .args(["--state", "sh", "-c", "env -0; printf '\\0'; exec cat >/dev/null"])
            .env("PATH", support::path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut variables = Vec::new();
        for entry in BufReader::new(process.stdout.take().unwrap()).split(0).map(Result::unwrap) {
            let entry = String::from_utf8(entry).unwrap();
            let Some((name, value)) = entry.split_once('=') else { break };
            let ours = ["TF_", "CHECKPOINT_", "OFFLINE_"].iter().any(|prefix| name.starts_with(prefix));
            if ours || ["PATH", "CI_API_V4_URL", "NO_COLOR"].contains(&name) {
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
        Self { process, variables }
    }

    /// The address of the GitLab that holds the states.
    pub fn url(&self) -> &str {
        let (_, api) = self.variables.iter().find(|(name, _)| name == "CI_API_V4_URL").unwrap();
        api.strip_suffix("/api/v4").unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It ends when nobody can write to it any more.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
