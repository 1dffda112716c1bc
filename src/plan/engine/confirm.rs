//! The one question before anything is changed.

use super::{Options, Watch};
use crate::error::{Error, Kind, Result};
use crate::plan::change::{Plan, TargetName};
use crate::plan::deed::Deed;

/// Asks once for the changes of all these plans; not at all if there are none. Changes that [end](Change::ends) what works now are asked
/// for in spite of `--yes`.
///
/// # Errors
/// `Usage` without a terminal; `Data` if `--yes` was given there and does not suffice; `Interrupted` when the answer is no.
pub(crate) fn confirm(plans: &[&Plan], deed: Deed, watch: &dyn Watch, options: Options) -> Result<()> {
    let pending: Vec<&&Plan> = plans.iter().filter(|plan| !plan.is_empty()).collect();
    let ends: Vec<&str> =
        pending.iter().flat_map(|plan| &plan.changes).flat_map(|change| &change.ends).map(String::as_str).collect();
    let Some(first) = pending.first().filter(|_| !options.yes || !ends.is_empty()) else { return Ok(()) };
    let mut names: Vec<&str> = pending.iter().map(|plan| plan.target.as_str()).collect();
    names.dedup();
    let one = (names.len() == 1).then_some(first.target);
    let place = if one.is_some() { first.subject.clone() } else { listed(&names) };
    let count = match pending.iter().map(|plan| plan.changes.len()).sum() {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let show = deed.show(one);
    if !watch.is_interactive() && options.yes {
        return Err(must_see(&ends, &place, one));
    }
    if !watch.is_interactive() {
        let again = "run this command again with `--yes`";
        return Err(Error::usage(format!(
            "cannot ask for confirmation without a terminal: {count} planned for {place}"
        ))
        .hint(show.map_or_else(|| again.into(), |show| format!("review the plan with `{show}`, then {again}"))));
    }
    let these = if count == "1 change" { "this change" } else { &format!("these {count}") };
    for end in &ends {
        watch.warn(end);
    }
    let all_the_same = if ends.is_empty() { "" } else { " nevertheless" };
    if watch.confirm(&format!("Apply {these} to {place}{all_the_same}?"), false)? {
        return Ok(());
    }
    let error = Error::new(Kind::Interrupted, format!("declined; nothing was changed on {place}"));
    Err(match show {
        Some(show) => error.hint(format!("show the plan again: `{show}`")),
        None => error,
    })
}

/// How many of the ends an error lists.
const MOST_ENDS: usize = 12;

/// Why `--yes` without a terminal does not suffice.
fn must_see(ends: &[&str], place: &str, one: Option<TargetName>) -> Error {
    let target = one.map_or_else(String::new, |target| format!(" {target}"));
    let what = format!(
        "applying the plan would stop what works now on {place}; --yes does not confirm that, and nothing was changed"
    );
    let mut error = Error::data(what);
    for end in ends.iter().take(MOST_ENDS) {
        error = error.hint((*end).to_owned());
    }
    error.hint(format!(
        "or, to accept that, run the same command in a terminal, or save the plan, review it and apply it: \
         `factoryup plan{target} --out FILE`, then `factoryup apply FILE`"
    ))
}

/// Names as a person lists them: `repo, host and gitlab`.
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.join(""),
    }
}
