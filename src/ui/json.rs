//! Events for machines: one object per line, each with an `event` key. Keys are only ever added.

use serde_json::{Value, json};

use crate::plan::Event;

pub(crate) fn value(event: &Event<'_>) -> Value {
    match event {
        Event::Target { name, subject } => json!({ "event": "target", "target": name, "subject": subject }),
        Event::Resuming { at, change, summary } => {
            json!({ "event": "resuming", "at": at, "change": change, "summary": summary })
        }
        Event::Planned(plan) => json!({ "event": "plan", "plan": plan, "digest": plan.digest() }),
        Event::Started { change, index, total } => {
            json!({ "event": "change-started", "id": change.id, "index": index, "total": total })
        }
        Event::Progress { change, text, done, total } => {
            json!({ "event": "change-progress", "id": change.id, "text": text, "done": done, "total": total })
        }
        Event::Ended { change, failure, took } => json!({
            "event": "change-ended", "id": change.id, "failure": failure, "seconds": took.as_secs_f64(),
        }),
        Event::Verified => json!({ "event": "verified" }),
        Event::Proved(proof) => {
            json!({ "event": "proof", "claim": proof.claim, "held": proof.held, "detail": proof.detail })
        }
        Event::Finished { outcome, took } => {
            json!({ "event": "finished", "result": outcome, "seconds": took.as_secs_f64() })
        }
    }
}
