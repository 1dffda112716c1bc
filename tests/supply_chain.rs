//! Every crate of the lock file comes from crates.io with a checksum, and has a license that `deny.toml` allows.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn table(file: &str) -> toml::Table {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap().parse().unwrap()
}

fn texts(value: &toml::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Whether one of the alternatives of an SPDX expression is allowed as a whole. Older crates have a slash for OR.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let bare = |text: &str| text.trim().trim_matches(['(', ')']).trim().to_owned();
    let all = |text: &str| text.replace('/', " OR ").split(" OR ").any(|one| allowed.contains(&bare(one).as_str()));
    // AND binds only groups in parentheses here: `(A OR B) AND C`.
    expression.split(" AND ").all(all)
}

/// What cargo says of the crates, without asking the registry; or why it cannot.
fn metadata(more: &[&str]) -> Result<Value, String> {
    let args = ["metadata", "--format-version", "1", "--locked", "--offline"];
    let cargo = Command::new(env!("CARGO")).args(args).args(more).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = cargo.unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// The platform that this runs on, as rustc calls it.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

#[test]
fn every_crate_has_an_allowed_license() {
    let deny = table("deny.toml");
    let allowed = texts(&deny["licenses"]["allow"]);
    // A build downloads only what its own platform needs; `cargo fetch` has all of it.
    let metadata = metadata(&[]).or_else(|_| metadata(&["--filter-platform", &host()])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let mut used = BTreeSet::new();
    for package in packages {
        let license = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(license, &allowed), "{} {}: `{license}`", package["name"], package["version"]);
        used.extend(allowed.iter().copied().filter(|one| license.contains(one)));
    }
    let unused: Vec<_> = allowed.iter().filter(|one| !used.contains(**one)).collect();
    assert!(unused.is_empty(), "deny.toml allows what no crate has: {unused:?}");
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum() {
    let deny = table("deny.toml");
    let allowed: Vec<String> =
        texts(&deny["sources"]["allow-registry"]).iter().map(|url| format!("registry+{url}")).collect();
    let lock = table("Cargo.lock");
    let own = ["factoryup", "disposable-host", "gitlab-stand-in"];
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        match package.get("source").and_then(toml::Value::as_str) {
            None => assert!(own.contains(&name), "{name} has no source"),
            Some(source) => {
                assert!(allowed.iter().any(|url| url == source), "{name} comes from {source}");
                assert_eq!(package["checksum"].as_str().map(str::len), Some(64), "{name}");
            }
        }
    }
}

#[test]
fn an_expression_is_read_as_spdx_has_it() {
    for (expression, allowed) in [
        ("MIT OR Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &["MIT", "Apache-2.0"]), allowed, "{expression}");
    }
}
