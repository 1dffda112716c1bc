//! What factoryup keeps of its runs, as somebody else may have changed it.

use std::path::PathBuf;

use super::{Evidence, Journal, Receipt, SavedPlan, StateDir, TargetName};
use crate::fuzz::{Reader, text};

/// A file with these bytes, in memory where there is such a place, which each reader writes anew.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let place =
        if std::path::Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let folder = tempfile::tempdir_in(place).unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "journal",
        read: |bytes| {
            let (_folder, path) = file(bytes);
            let unfinished = Journal::open(&path).and_then(|journal| {
                let _ = (journal.proof_due(TargetName::Host), journal.began(TargetName::Repo, "x"));
                journal.unfinished(TargetName::Host)
            });
            unfinished.map_or_else(text, |unfinished| format!("{unfinished:?}"))
        },
        seeds: &[
            b"{\"at\":\"2026-01-01T00:00:00Z\",\"run\":\"r-1\",\"target\":\"host\",\"event\":\"begun\",\
              \"change\":null,\"detail\":\"x\"}\n\
              {\"at\":\"2026-01-01T00:00:00Z\",\"run\":\"r-1\",\"target\":\"host\",\"event\":\"started\",\
              \"change\":\"file:/x\"}\n",
            b"{\"run\":\"r\",\"target\":\"gitlab\",\"event\":\"ended\"}\n{\"torn",
        ],
    },
    Reader {
        name: "evidence",
        read: |bytes| {
            // A torn line is waited for, so most are whole.
            let end: &[u8] = if bytes.len() % 64 == 0 { b"" } else { b"\n" };
            let (_folder, path) = file(&[bytes, end].concat());
            let evidence = Evidence::at(&path);
            let before = evidence.verify().map_or_else(text, |(count, _)| format!("{count} verified"));
            // What could be repaired is whole afterwards.
            let more = evidence.append("x", &"0".repeat(64), "https://example.org/x", serde_json::json!({}));
            if more.is_ok() && before.ends_with("verified") {
                evidence.verify().unwrap();
            }
            before
        },
        seeds: &[
            b"{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"name\":\"x\",\"digest\":{\"sha256\":\"00\"}}],\
              \"predicateType\":\"https://x/y\",\"predicate\":{\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}}\n",
            b"{\"a\":1}{\"b\":2}\n{\"torn",
            b"\n",
        ],
    },
    Reader {
        name: "saved-plan",
        read: |bytes| {
            let (_folder, path) = file(bytes);
            let _ = SavedPlan::may_be_at(&path);
            SavedPlan::read(&path, "acme").map_or_else(text, |plan| format!("{} plans", plan.plans().len()))
        },
        seeds: &[
            b"{\"schema\":1,\"factory\":\"acme\",\"made_at\":\"2026-01-01T00:00:00Z\",\"generator\":\"0.1.0\",\"digest\":\"00\",\
              \"plans\":[{\"target\":\"repo\",\"subject\":\"/x\",\"changes\":[{\"id\":\"file:x\",\"action\":\"create\",\"summary\":\"s\",\"risk\":\"none\"}],\"unchanged\":0,\"notes\":[]}]}",
            b"{\"schema\":2}",
        ],
    },
    Reader {
        name: "receipt",
        read: |bytes| {
            let (_folder, path) = file(bytes);
            Receipt::read(&path).map_or_else(text, |_| "ok".into())
        },
        seeds: &[include_bytes!("../fixtures/formats/receipt-host-1.json"), b"{\"schema\":9}"],
    },
    Reader {
        name: "factory.json",
        read: |bytes| {
            let (folder, path) = file(bytes);
            std::fs::rename(path, folder.path().join("factory.json")).unwrap();
            let state = StateDir::at(folder.path()).and_then(|state| state.look("/x".as_ref(), "https://gitlab.com/a/b"));
            state.map_or_else(text, |()| "ok".into())
        },
        seeds: &[
            b"{\"schema\":1,\"repo\":\"/x\",\"project\":\"https://gitlab.com/a/b\",\"host\":\"203.0.113.7\"}",
            b"{\"schema\":1,\"repo\":\"/y\",\"project\":\"https://gitlab.com/c/d\"}",
        ],
    },
];
