//! YAML as JSON, read by `PyYAML`: not by the library that factoryup itself reads it with.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support;

const PROGRAM: &str = "
import json, sys, yaml
def read(text):
    try:
        return yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        return {'not yaml': str(error)}
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout, default=str)
";

/// Each of the texts, which hold one document each, in one run of Python; for one that is not YAML an object that says so.
pub(crate) fn documents(texts: &[&str]) -> Vec<Value> {
    let mut child = Command::new(support::tool("python").unwrap())
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let texts = serde_json::to_vec(texts).unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&texts).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "python");
    serde_json::from_slice(&output.stdout).unwrap()
}
