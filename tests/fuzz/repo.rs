//! What a control repo from elsewhere holds, and what git says of it.

use super::journal;
use super::manifest::Manifest;
use super::merge::{has_markers, text as merge};
use crate::fuzz::{Reader, text};
use crate::git::objects::next_object;
use crate::git::read::entries;
use crate::templating::block;

/// Three texts in one, and the kind of file.
fn three(bytes: &[u8]) -> (&'static str, [&[u8]; 3]) {
    let mut parts = bytes.splitn(4, |byte| *byte == 0x1e);
    let kinds = ["a.yaml", "a.toml", "a.json", "a.md", "a.yml"];
    let kind = parts.next().unwrap_or_default().first().map_or(0, |byte| usize::from(*byte)) % kinds.len();
    let mut part = || parts.next().unwrap_or_default();
    (kinds[kind], [part(), part(), part()])
}

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "manifest",
        read: |bytes| match Manifest::parse(&String::from_utf8_lossy(bytes)) {
            Ok(manifest) => format!("ok {}", manifest.is_ahead_of("1.0.0")),
            Err(error) => text(error),
        },
        seeds: &[include_bytes!("../fixtures/formats/manifest-1.toml"), b"schema = 9\n"],
    },
    Reader {
        name: "repo-journal",
        read: |bytes| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(journal::JOURNAL), bytes).unwrap();
            journal::read(folder.path()).map_or_else(text, |_| "ok".into())
        },
        seeds: &[
            b"{\"schema\":2,\"stage\":true,\"steps\":[{\"path\":\"a/b\",\"before\":[\"100644\",\"00\"],\"after\":null}]}",
            b"{\"schema\":2,\"steps\":[{\"path\":\"../x\",\"before\":null,\"after\":[\"120000\",\"0\"]}]}",
        ],
    },
    Reader {
        name: "git-tree",
        read: |bytes| {
            let found = entries(bytes, 20).map(|found| "x".repeat(found.len().min(4)));
            format!("{found:?}")
        },
        seeds: &[b"100644 a\x000123456789012345678940000 b\x0001234567890123456789", b"160000 \xff\x0001234567890123456789"],
    },
    Reader {
        name: "git-objects",
        read: |bytes| {
            let mut answers = bytes;
            let mut found = String::new();
            while !answers.is_empty() {
                match next_object(&mut answers) {
                    Ok(object) => found.push_str(if object.is_some() { "o" } else { "-" }),
                    Err(error) => return found + &text(error),
                }
            }
            found
        },
        seeds: &[b"aa blob 4\nx\n\ny\ncc missing\nbb tree 0\n\n", b"aa blob 99999999999999999999\nx"],
    },
    Reader {
        name: "merge",
        read: |bytes| {
            let (path, [base, current, new]) = three(bytes);
            let merged = merge(path, base, current, new);
            if let Ok(merged) = &merged {
                assert!(!has_markers(merged), "markers in what was merged");
            }
            // Whoever made no change gets the other's.
            if let Ok(same) = merge(path, base, base, new) {
                let odd = !base.is_ascii() || base.contains(&b'\r') || new.contains(&b'\r');
                assert!(same == new || odd, "{:?}", String::from_utf8_lossy(&same));
            }
            merged.map_or_else(|conflict| format!("{conflict:?}"), |_| format!("{path} merged"))
        },
        seeds: &[
            b"0\x1ea: 1\nb: 2\nc: 3\n\x1ea: 1\nb: 2\nc: 4\n\x1ea: 0\nb: 2\nc: 3\n",
            b"1\x1ea = 1\n[b]\nc = \"x\"\n\x1ea = 2\n[b]\nc = \"x\"\n\x1ea = 1\n[b]\nc = \"y\"\n",
            b"2\x1e{\"a\": 1,\n\"b\": 2}\n\x1e{\"a\": 1,\n\"b\": 3}\n\x1e{\"a\": 0,\n\"b\": 2}\n",
            b"3\x1eone\r\ntwo\r\nthree\r\n\x1eone\r\n2\r\nthree\r\n\x1eone\r\ntwo\r\n3\r\n",
            b"4\x1ea: &x [1, 2]\nb: *x\n\x1ea: &x [1, 3]\nb: *x\n\x1ea: &x [1, 2]\nb: *x\nc: {<<: *x}\n",
        ],
    },
    Reader {
        name: "block",
        read: |bytes| {
            let given = String::from_utf8_lossy(bytes);
            format!("{} {}", block::body(&given).is_some(), block::replace(&given, "new\n").is_some())
        },
        seeds: &[b"a\n# factoryup:begin\nx\n# factoryup:end\nb\n", b"factoryup:end factoryup:begin"],
    },
];
