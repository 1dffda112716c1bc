//! A full disk on the host costs an error, and no record.

use std::path::Path;

use factoryup::Kind;
use factoryup::plan::{Outcome, Receipt};

use crate::journey::Journey;

/// What a run brings back when it is gone: files with and without a folder's order around them.
const DRIFT: [(&str, &str); 3] = [
    ("file:/etc/profile.d/factoryup.sh", "/etc/profile.d/factoryup.sh"),
    ("file:/usr/local/bin/factory", "/usr/local/bin/factory"),
    ("file:/etc/apt/apt.conf.d/zz-factoryup-updates", "/etc/apt/apt.conf.d/zz-factoryup-updates"),
];

/// Runs with room for so many pages below /var/lib/factoryup, on a provisioned host whose records are put aside.
fn with_room(journey: &Journey, pages: usize) -> factoryup::Result<Outcome> {
    let ballast = 4096 * (128 - pages);
    journey.inside(&format!(
        "mount -t tmpfs -o size=512k,mode=0700 small /var/lib/factoryup; head -c {ballast} /dev/zero >/var/lib/factoryup/ballast; rm -f {}",
        DRIFT.map(|(_, path)| path).join(" ")
    ));
    let outcome = journey.run(journey.target());
    journey.inside("rm /var/lib/factoryup/ballast");
    outcome
}

pub fn leaves_every_record_whole(journey: &Journey) {
    let mut refused = 0;
    for pages in [0, 2, 3, 4, 5, 7, 60] {
        let outcome = with_room(journey, pages);
        let receipt = journey.inside("cat /var/lib/factoryup/receipt.json 2>/dev/null || true");
        let recorded: Vec<String> = if receipt.is_empty() {
            Vec::new()
        } else {
            let receipt: Receipt = serde_json::from_str(&receipt).unwrap_or_else(|e| panic!("{pages}: {e}\n{receipt}"));
            receipt.entries.into_iter().map(|entry| entry.id).collect()
        };
        for line in journey.inside("cat /var/lib/factoryup/journal.jsonl 2>/dev/null || true").lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{pages}: {line}");
        }
        // What was changed is on record, and nothing is half there.
        for (id, path) in DRIFT {
            let is_there = journey.host.rootfs().join(Path::new(path).strip_prefix("/").unwrap()).exists();
            assert!(!is_there || recorded.iter().any(|known| known == id), "{pages}: {id}");
        }
        match outcome {
            // The firewall too: what it was loaded from is among the records.
            Ok(outcome) => {
                assert!(
                    matches!(outcome, Outcome::Applied { changes, .. } if changes == DRIFT.len() + 1),
                    "{outcome:?}"
                );
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::CannotWrite, "{pages}: {error}");
                refused += 1;
            }
        }
        // Room again: the rest is done.
        assert!(journey.run(journey.target()).is_ok(), "{pages}");
        journey.inside("umount /var/lib/factoryup");
    }
    assert!((4..7).contains(&refused), "{refused} of 7 had too little room");
}
