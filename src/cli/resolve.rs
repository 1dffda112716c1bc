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

/// Resolve the conflicts of an upgrade in the checked-out commit
///
/// Without a flag, it lists the conflicts. On a terminal, it then asks about each one. It stages what you resolve. Commit the result.
///
/// Exit code 2 if conflicts are left.
#[derive(Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Resolve {
    /// Resolve only this file
    path: Option<String>,

    /// Keep your version
    #[arg(long, conflicts_with_all = ["proposal", "edit", "tool", "show"])]
    mine: bool,

    /// Take the template version
    #[arg(long, conflicts_with_all = ["edit", "tool", "show"])]
    proposal: bool,

    /// Merge both versions in your editor (git's core.editor, $VISUAL or $EDITOR), with conflict markers
    #[arg(long, conflicts_with_all = ["tool", "show"])]
    edit: bool,

    /// Merge both versions in this merge tool, or without NAME in git's merge.tool
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, conflicts_with = "show")]
    #[allow(clippy::option_option, reason = "not given, given without a name, given with one")]
    tool: Option<Option<String>>,

    /// Print both versions merged, with conflict markers
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
        // The named conflict may be the one that recovery resolved just now.
        if let (Some(path), true, false) = (&self.path, chosen.is_empty(), ended) {
            return Err(Error::usage(format!("no conflict in {path}")).hint("list the conflicts: factoryup resolve"));
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
            let text = match left {
                0 if chosen.is_empty() && !ended => "There are no conflicts.".to_owned(),
                0 => {
                    let push = if resolver.is_pushed() { ", then `git push`," } else { "" };
                    format!("All conflicts are resolved and staged. Run `git commit`{push} to finish.")
                }
                1 => "1 conflict is left.".to_owned(),
                left => format!("{left} conflicts are left."),
            };
            ui.say(&text);
            if left > 0 && self.only_looks(ui) && !chosen.is_empty() {
                ui.say("  next: look at both versions: factoryup resolve --show");
                ui.say("  next: then choose one for each path: factoryup resolve PATH --mine, or --proposal, --edit, --tool");
            }
        }
        Ok(if left == 0 { Ending::Done } else { Ending::Pending })
    }

    /// Whether this run writes nothing.
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
        if ui.confirm(&format!("Keep your version of {}?", pending.path), false)? {
            return Ok(Some(Choice::Mine));
        }
        if ui.confirm("Take the template version instead, without your changes?", false)? {
            return Ok(Some(Choice::Proposal));
        }
        if let Some(tool) = resolver.tool()
            && ui.confirm(&format!("Merge both versions in {tool}?"), true)?
        {
            return resolver.merged_by_tool(pending, None).map(|text| Some(Choice::Text(text)));
        }
        if ui.confirm("Merge both versions in your editor?", true)? {
            return resolver.edited(pending).map(|text| Some(Choice::Text(text)));
        }
        Ok(None)
    }

    /// Shows how each side changed the base version. Without one, shows the difference between the sides.
    fn three_ways(pending: &Pending, ui: &Ui) -> Result<()> {
        let mine = pending.mine.as_deref();
        let proposal = Some(pending.proposal.as_slice());
        let views = match pending.base.as_deref() {
            Some(base) => {
                vec![("what you changed", Some(base), mine), ("what the templates changed", Some(base), proposal)]
            }
            None => vec![("from your version to the template version", mine, proposal)],
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

/// Returns a version as text, or its size if it is not text.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text.to_owned(),
        _ => format!("not text, {} bytes\n", bytes.len()),
    }
}
