//! `factoryup rehearse`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::dialog::Dialog as _;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::plan::StateDir;
use crate::rehearsal::day_one::{self, Options, RehearsalReport};
use crate::rehearsal::{kept, system};
use crate::ui::{Table, Ui, seconds};

/// Try the whole setup on this machine, with disposable targets
///
/// You need no account. rehearse starts a disposable Debian container and a GitLab stand-in, and runs the real setup against them. The
/// host needs root and a few packages. Without root, it rehearses only the control repo and the GitLab setup.
///
/// The first pipeline runs on the real GitLab Runner if the host can download it, if this machine has it, or if --files names a directory
/// with it. Otherwise a stand-in takes the jobs and runs no script, and the report says so. Then rehearse tries what the agent may do,
/// deploys an example application, and shows that a bad release of it is rolled back.
///
/// With `--keep`, both stay until you confirm, or without a terminal until you press Ctrl-C. The last lines say how to log in and how to
/// start the agent's first issue. From another terminal, `rehearse --destroy` removes both; the control repo and the evidence stay.
///
/// Exit codes: 0 all of it passed, or nothing is kept any more; 2 the first pipeline, the agent's work or a release did not end as it
/// should; 64 usage; 73 a file or a package cannot be written, or a rehearsal is kept there; 75 no runner took the pipeline's jobs;
/// 130 interrupted.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Rehearse {
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,

    /// Rehearse without a host
    #[arg(long)]
    without_host: bool,

    /// Copy the files in this directory to the host first, such as DIR/usr/bin/gitlab-runner
    #[arg(long, value_name = "DIR", conflicts_with = "without_host", value_parser = super::path())]
    files: Option<PathBuf>,

    /// Leave the host and the GitLab stand-in running at the end, and show how to log in
    #[arg(long)]
    keep: bool,

    /// Remove the host and the GitLab stand-in that a rehearsal with --keep left running
    #[arg(long, conflicts_with_all = ["yes", "without_host", "files", "keep"])]
    destroy: bool,

    /// Write the results to this directory and replace an earlier rehearsal there [default: in the state directory]
    #[arg(long, value_name = "DIR", value_parser = super::path())]
    into: Option<PathBuf>,
}

impl Rehearse {
    pub(super) fn run(&self, ui: &Ui) -> Result<()> {
        let dir = match &self.into {
            Some(dir) => dir.clone(),
            // No factory can have this name, so this is no real factory's state.
            None => StateDir::open(".rehearsal")?.path().to_owned(),
        };
        if self.destroy {
            return destroy(&dir, ui);
        }
        if let Some(files) = self.files.as_ref().filter(|files| !files.is_dir()) {
            return Err(Error::usage(format!("{} is no directory", files.display())));
        }
        ui.heading("rehearsal: the whole setup on this machine, against a disposable host and a GitLab stand-in");
        let without_host = if self.without_host {
            Some("the host (--without-host)".to_owned())
        } else {
            system::ready_for_a_host(ui, self.yes)?
        };
        let (report, stage) =
            day_one::play(&Options { dir, without_host, files: self.files.clone(), keep: self.keep }, ui)?;
        if ui.is_json() {
            ui.json(json!({ "event": "report", "report": report }))?;
        } else {
            ui.show(&text(&report))?;
        }
        if self.keep {
            wait(ui)?;
        }
        stage.end()
    }
}

fn destroy(dir: &Path, ui: &Ui) -> Result<()> {
    let destroyed = kept::destroy(dir, ui)?;
    if ui.is_json() {
        return ui.json(json!({ "event": "destroyed", "destroyed": destroyed }));
    }
    let place = dir.display();
    ui.show(&if destroyed {
        format!("The disposable targets are removed. The control repo and the evidence stay in {place}\n")
    } else {
        format!("No rehearsal in {place} keeps targets\n")
    })
}

/// Returns when the user has looked around.
fn wait(ui: &Ui) -> Result<()> {
    loop {
        interrupt::check()?;
        if !ui.is_interactive() {
            std::thread::sleep(Duration::from_millis(200));
        } else if ui.confirm("Remove the disposable targets now?", true)? {
            return Ok(());
        }
    }
}

fn text(report: &RehearsalReport) -> String {
    let mut table = Table::new(["part", "took", "result"]);
    for part in &report.parts {
        table.row([part.name.clone(), seconds(Duration::from_secs_f64(part.seconds)), part.result.clone()]);
    }
    let mut text = format!("\n{}\n", table.text());
    for left_out in &report.left_out {
        text.push_str(&format!("skipped: {left_out}\n"));
    }
    text.push_str(&format!("control repo:  {}\n", report.control_repo.display()));
    text.push_str(&format!("evidence:      {}\n", report.state.join("evidence/log.jsonl").display()));
    text.push_str(&format!(
        "verify it:     factoryup evidence verify {}\n",
        report.state.join("evidence/log.jsonl").display()
    ));
    let Some(kept) = &report.kept else {
        text.push_str("The disposable targets are removed. To set up a real factory: factoryup init my-factory\n");
        return text;
    };
    text.push_str(&format!("GitLab:        {} (token: {})\n", kept.gitlab, kept.token_file.display()));
    if let Some(login) = &kept.login {
        text.push_str(&format!("host:          {login}\nthe agent:     {login} sudo -iu agent\n"));
        text.push_str(&format!("first issue:   {login} factory work 1\n"));
    }
    if let (Some(login), Some(address)) = (&kept.login, &kept.application) {
        text.push_str(&format!("application:   {login} curl -s {address}\n"));
    }
    text.push_str(&format!("remove both:   {}\n", kept.destroy));
    text
}
