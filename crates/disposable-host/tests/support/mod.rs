//! What the tests share: a host with keys to log in to it, and what happens if this machine cannot run one.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::print_stderr)]

pub mod lab;

/// Whether each of the tools is on `PATH`; see [`satisfied`].
pub fn available(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().copied().filter(|name| which::which(name).is_err()).collect();
    satisfied(&missing.join(", "), missing.is_empty())
}

/// `present`, after saying `skipped: needs WHAT` if it is false. With `FACTORYUP_REQUIRE_ALL=1` it panics instead.
pub fn satisfied(what: &str, present: bool) -> bool {
    let all_required = std::env::var_os("FACTORYUP_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(present || !all_required, "needs {what}, and FACTORYUP_REQUIRE_ALL=1 lets nothing be skipped");
    if !present {
        eprintln!("skipped: needs {what}");
    }
    present
}
