//! An upgrade's branch, pushed to GitLab with a merge request that says what became of the user's own changes.
//!
//! GitLab opens the merge request itself, asked by the options of the push
//! (<https://docs.gitlab.com/topics/git/commit/#push-options-for-merge-requests>): one call, and nothing to clean up when it fails. Where
//! a conflict waits it is a draft, which GitLab does not merge.

use std::path::Path;

use super::git::remote::{Login, Pushed, push_with_options};
use super::report::Report;
use crate::error::{Error, Result};
use crate::factory::Factory;

/// Pushes the branch of `report` from the repo in `dir`. A branch that was pushed before is up to date, and its merge request stays
/// as it is.
///
/// # Errors
/// As [`push`](super::git::remote::push); `Internal` when the report names no branch.
pub fn propose(dir: &Path, factory: &Factory, report: &Report, login: Login<'_>) -> Result<Pushed> {
    let branch = report.branch.as_ref().ok_or_else(|| Error::internal("there is no branch to push"))?;
    let gitlab = &factory.gitlab;
    let url = format!("{}/{}/{}.git", gitlab.url.trim_end_matches('/'), gitlab.group, gitlab.project);
    let options = [
        "merge_request.create".to_owned(),
        format!("merge_request.target={}", gitlab.default_branch),
        format!("merge_request.title={}", title(report)),
        format!("merge_request.description={}", description(report)),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    push_with_options(dir, &url, &format!("refs/heads/{branch}:refs/heads/{branch}"), &options, login)
}

fn title(report: &Report) -> String {
    let what = if report.from.is_empty() {
        format!("Adopt this repo with the templates {}", report.to)
    } else if report.from == report.to {
        "Apply new answers".to_owned()
    } else {
        format!("Upgrade the templates from {} to {}", report.from, report.to)
    };
    if report.conflicts().next().is_some() { format!("Draft: {what}") } else { what }
}

/// One line, since the protocol takes no more: GitLab makes line endings of `\n`.
fn description(report: &Report) -> String {
    let mut lines =
        vec![format!("Made by `factoryup {}`. To undo it, revert its one commit.", env!("CARGO_PKG_VERSION"))];
    let news: Vec<String> = report.news().map(|line| format!("- {line}")).collect();
    if !news.is_empty() {
        lines.extend(["Answers and migrations:".to_owned(), String::new()]);
        lines.extend(news);
        lines.push(String::new());
    }
    if report.findings.is_empty() {
        lines.push("Only files that nobody edited are different.".to_owned());
    } else {
        lines.extend(["Files with changes of your own:".to_owned(), String::new()]);
        lines.extend(report.findings.iter().map(|finding| format!("- `{}`: {}", finding.path, finding.sort.as_text())));
    }
    if report.conflicts().next().is_some() {
        lines.push(String::new());
        lines.push("Check the branch out and run `factoryup resolve` to settle the conflicts.".to_owned());
    }
    lines.join("\n").replace('\\', "/").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::report::Sort;

    #[test]
    fn a_conflict_makes_a_draft_and_everything_is_one_line() {
        let mut report = Report::new("1.0.0", "2.0.0");
        assert_eq!(title(&report), "Upgrade the templates from 1.0.0 to 2.0.0");
        let proposal = ".factory/conflicts/a".to_owned();
        report.push("a", Sort::Conflict { id: "a".into(), why: "it was there", proposal });
        assert_eq!(title(&report), "Draft: Upgrade the templates from 1.0.0 to 2.0.0");
        let text = description(&report);
        assert!(!text.contains('\n') && text.contains("\\n- `a`: conflict: it was there;"), "{text}");
    }
}
