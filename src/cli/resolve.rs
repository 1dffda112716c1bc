//! `factoryup resolve`

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::Ending;
use super::upgrade::{CUT_SHORT, ENDED};
use crate::dialog::Dialog;
use crate::error::{Error, Result};
use crate::plan::Diff;
use crate::repo::resolve::{Choice, Pending, Resolver, Unsettled};
use crate::ui::Ui;
use crate::workspace::{Keys, Purpose, Workspace};

/// Settle the conflicts that an upgrade left, in the commit that is checked out
///
/// Without a flag it lists them, and on a terminal goes through them one by one. What is settled is staged; commit it when done.
///
/// Exit code 2 when conflicts are left.
#[derive(Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Resolve {
    /// Only this file
    path: Option<String>,

    /// Keep what you have
    #[arg(long, conflicts_with_all = ["proposal", "edit", "tool", "show"])]
    mine: bool,

    /// Take what the templates propose
    #[arg(long, conflicts_with_all = ["edit", "tool", "show"])]
    proposal: bool,

    /// Open both versions in your editor (git's core.editor, $VISUAL, $EDITOR), with the lines that conflict between markers
    #[arg(long, conflicts_with_all = ["tool", "show"])]
    edit: bool,

    /// Open the three versions in a merge tool: the one named, or the one of git's merge.tool
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, conflicts_with = "show")]
    #[allow(clippy::option_option, reason = "not given, given without a name, given with one")]
    tool: Option<Option<String>>,

    /// Show both versions, with the lines that conflict between markers
    #[arg(long)]
    show: bool,
}

impl Resolve {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let purpose = if self.only_looks(ui) { Purpose::Look } else { Purpose::Hold("resolve") };
        let workspace = Workspace::open(dir, Keys::default(), purpose, ui)?;
        let target = workspace.repo()?;
        let ended = !self.only_looks(ui) && target.recover()?;
        if ended {
            ui.tell(ENDED);
        } else if target.is_cut_short()? {
            ui.tell(CUT_SHORT);
        }
        let mut resolver = workspace.resolver()?;
        let wanted = |pending: &Pending| self.path.as_ref().is_none_or(|path| *path == pending.path);
        let chosen: Vec<Pending> = resolver.pending().into_iter().filter(wanted).collect();
        let lost = resolver.without_proposal();
        let named = |unsettled: &&Unsettled| self.path.as_ref().is_some_and(|path| *path == unsettled.path);
        if let Some(unsettled) = lost.iter().find(named) {
            return Err(Error::usage(unsettled.why()).hint(unsettled.remedy()));
        }
        // The one that is named may be the one that was settled only now.
        if let (Some(path), true, false) = (&self.path, chosen.is_empty(), ended) {
            return Err(Error::usage(format!("there is no conflict of {path}")).hint("list them: factoryup resolve"));
        }
        for pending in &chosen {
            match self.choice(pending, &resolver, ui)? {
                Some(choice) => resolver.settle(&pending.id, &choice)?,
                None => Self::list(pending, ui)?,
            }
        }
        for unsettled in &lost {
            ui.tell(&format!("{}: {}", unsettled.why(), unsettled.remedy()));
        }
        let left = resolver.pending().len() + lost.len();
        if ui.is_json() {
            ui.json(json!({ "event": "conflicts", "left": left }))?;
        } else {
            ui.say(&match left {
                0 if chosen.is_empty() && !ended => "There are no conflicts.".to_owned(),
                0 => "All conflicts are settled and staged; `git commit` ends it.".to_owned(),
                1 => "1 conflict is left.".to_owned(),
                left => format!("{left} conflicts are left."),
            });
        }
        Ok(if left == 0 { Ending::Done } else { Ending::Pending })
    }

    /// Whether it writes nothing.
    fn only_looks(&self, ui: &Ui) -> bool {
        self.show || !(self.mine || self.proposal || self.edit || self.tool.is_some() || ui.is_interactive())
    }

    fn choice(&self, pending: &Pending, resolver: &Resolver, ui: &Ui) -> Result<Option<Choice>> {
        if self.mine {
            return Ok(Some(Choice::Mine));
        }
        if self.proposal {
            return Ok(Some(Choice::Proposal));
        }
        if self.show {
            let text = resolver.with_markers(pending)?;
            if ui.is_json() {
                let line = json!({ "event": "conflict-text", "id": pending.id, "path": pending.path, "text": text });
                ui.json(line)?;
            } else {
                ui.result(&text)?;
            }
            return Ok(None);
        }
        if self.edit {
            return resolver.edited(pending).map(|text| Some(Choice::Text(text)));
        }
        if let Some(name) = &self.tool {
            return resolver.merged_by_tool(pending, name.as_deref()).map(|text| Some(Choice::Text(text)));
        }
        if !ui.is_interactive() {
            return Ok(None);
        }
        Self::list(pending, ui)?;
        Self::three_ways(pending, ui)?;
        if ui.confirm(&format!("Keep {} as you have it?", pending.path), false)? {
            return Ok(Some(Choice::Mine));
        }
        if ui.confirm("Take the proposal instead, without your changes?", false)? {
            return Ok(Some(Choice::Proposal));
        }
        if let Some(tool) = resolver.tool()
            && ui.confirm(&format!("Put both together in {tool}?"), true)?
        {
            return resolver.merged_by_tool(pending, None).map(|text| Some(Choice::Text(text)));
        }
        if ui.confirm("Put both together in your editor?", true)? {
            return resolver.edited(pending).map(|text| Some(Choice::Text(text)));
        }
        Ok(None)
    }

    /// What each side made of the former text; where that is not known, what the sides have.
    fn three_ways(pending: &Pending, ui: &Ui) -> Result<()> {
        let mine = pending.mine.as_deref();
        let proposal = Some(pending.proposal.as_slice());
        let views = match pending.base.as_deref() {
            Some(base) => {
                vec![("what you changed", Some(base), mine), ("what the templates changed", Some(base), proposal)]
            }
            None => vec![("from yours to the proposal", mine, proposal)],
        };
        for (title, before, after) in views {
            let diff = Diff { before: before.map(text), after: after.map(text) };
            ui.result(&format!("  {title}:\n{}", ui.diff_text(&diff)))?;
        }
        Ok(())
    }

    fn list(pending: &Pending, ui: &Ui) -> Result<()> {
        if ui.is_json() {
            let line = json!({ "event": "conflict", "id": pending.id, "path": pending.path });
            return ui.json(line);
        }
        ui.result(&pending.path)
    }
}

/// A version as it can be shown.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text.to_owned(),
        _ => format!("not text, {} bytes\n", bytes.len()),
    }
}
