//! How an error looks: what failed, why, and what to do next.

use serde_json::{Value, json};

use super::Paint;
use crate::dialog::plain;
use crate::error::Error;

pub(crate) fn text(error: &Error, paint: Paint) -> String {
    let mut text = format!("{} {}", paint.bad("error:"), plain(&error.to_string()));
    for cause in error.causes() {
        text.push_str(&format!("\n  {} {}", paint.dim("because:"), indent(&plain(&cause))));
    }
    for hint in error.hints() {
        text.push_str(&format!("\n  {} {}", paint.care("next:"), indent(&plain(hint))));
    }
    text
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

pub(crate) fn json(error: &Error) -> Value {
    json!({
        "event": "error",
        "kind": error.kind().name(),
        "exit_code": error.kind().exit_code(),
        "message": error.to_string(),
        "causes": error.causes(),
        "hints": error.hints(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_why_and_what_next() {
        let error = Error::data("cannot use x").caused_by(Error::data("line 3\n\u{1b}[2Jis wrong")).hint("mend line 3");
        assert_eq!(
            text(&error, Paint { on: false }),
            "error: cannot use x\n  because: line 3\n    [2Jis wrong\n  next: mend line 3"
        );
        assert_eq!(json(&error)["exit_code"], 65);
    }
}
