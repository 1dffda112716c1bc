//! Drift around factoryup's settings: what somebody else wrote, and what undoes them. factoryup does not change it; the plan names it.

use super::accounts::WORKERS;
use super::closing;
use super::profile::{LAST_SUDOERS, SETTINGS, UPDATES};
use super::resources::{FIREWALL, fingerprint, is_stricter, key_parts};
use super::target::HostTarget;
use crate::dialog::plain;
use crate::error::{Error, Result};
use crate::host::proof;
use crate::host::word::HostPath;
use crate::plan::Plan;

impl HostTarget<'_> {
    /// What is worth a line in the plan.
    ///
    /// # Errors
    /// `Data` when sudo gives an identity rights that factoryup's own file cannot take.
    pub(super) fn drift(&self, plan: &Plan) -> Result<Vec<String>> {
        let mut notes = self.extra_keys(plan);
        notes.extend(later_settings(&self.seen.later));
        notes.extend(self.seen.firewall_fault.iter().map(|fault| {
            format!("the firewall's rules cannot be loaded again; the last good ones stay in force. Correct the file that nft names: {fault}")
        }));
        if plan.changes.iter().any(|change| change.id == FIREWALL) {
            notes.extend(closing::notes(&self.seen));
        }
        notes.extend(self.sudo_rights(plan)?);
        Ok(notes.iter().map(|note| plain(note).replace('\n', " ")).collect())
    }

    /// Keys of the operator that `factory.toml` does not name.
    fn extra_keys(&self, plan: &Plan) -> Vec<String> {
        let host = &self.factory.host;
        let wanted: Vec<_> = host.authorized_keys.iter().filter_map(|key| key_parts(key)).collect();
        let path = HostPath::home(&host.operator, ".ssh/authorized_keys");
        let text = path.on(&self.seen).and_then(|path| self.seen.text(&path)).unwrap_or_default();
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut notes = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
            // Options come before the key; they may hold blanks between quotes.
            let mut starts = line.char_indices().filter(|&(at, _)| at == 0 || line[..at].ends_with([' ', '\t']));
            let Some((kind, blob)) = starts.find_map(|(at, _)| key_parts(&line[at..])) else { continue };
            let print = fingerprint(blob);
            let goes =
                plan.changes.iter().any(|change| change.id == format!("authorized_key:{}/{print}", host.operator));
            if !wanted.contains(&(kind, blob)) && !goes {
                notes.push(format!(
                    "key {print} logs in as {}, and authorized_keys in factory.toml does not name it: add it there, or delete line {} of {path}",
                    host.operator,
                    number + 1
                ));
            }
        }
        notes
    }

    /// What sudo allows although it should not.
    fn sudo_rights(&self, plan: &Plan) -> Result<Vec<String>> {
        let host = &self.factory.host;
        let workers: Vec<&str> = WORKERS.into_iter().filter(|user| self.seen.accounts.contains_key(*user)).collect();
        if !self.seen.sudo.contains_key("sudoers") {
            return Ok(Vec::new());
        }
        let decides = ["file:/etc/sudoers.d/", "package:", "user:", "group:"];
        let is_pending = plan.changes.iter().any(|change| decides.iter().any(|kind| change.id.starts_with(kind)));
        let mut notes = Vec::new();
        for wrong in proof::of_sudo(&self.seen.sudo, &host.operator, host.sudo, &workers) {
            if is_pending {
                notes.push(format!("{}: {LAST_SUDOERS} will end that", wrong.detail));
            } else {
                return Err(Error::data(format!("on {}, {}", self.subject, wrong.detail))
                    .hint(format!(
                        "delete that line with `visudo -f FILE`: sudo reads it after {LAST_SUDOERS}, so it wins"
                    ))
                    .hint("then run the same command again; nothing was changed"));
            }
        }
        notes.extend(proof::without_effect(&self.seen.sudo, &workers));
        Ok(notes)
    }
}

/// Kernel settings and settings of apt that a later file overrides.
fn later_settings(later: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    for found in later {
        let [file, line, text] = found.splitn(3, ':').collect::<Vec<_>>()[..] else { continue };
        let overrides = if file.contains("sysctl.d/") {
            text.split_once('=').is_some_and(|(name, value)| {
                let (name, value) = (name.trim().trim_start_matches('-').replace('/', "."), value.trim());
                SETTINGS
                    .iter()
                    .any(|(ours, wanted)| *ours == name && *wanted != value && !is_stricter(&name, value, wanted))
            })
        } else {
            let bare: String = text.split_whitespace().collect();
            let quoted = |wanted: &str| wanted.split_whitespace().collect::<String>();
            UPDATES.lines().filter_map(|wanted| wanted.split_once(' ').map(|(name, _)| (name, quoted(wanted)))).any(
                |(name, wanted)| {
                    let last = name.rsplit("::").next().unwrap_or(name);
                    name != "//" && bare.to_ascii_lowercase().contains(&last.to_ascii_lowercase()) && bare != wanted
                },
            )
        };
        if overrides {
            notes.push(format!("{file}:{line} overrides a setting of factoryup's: delete the line, or rename the file so that it comes before zz-factoryup: {}", text.trim()));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::later_settings;

    #[test]
    fn a_later_file_is_named_where_it_weakens_a_setting() {
        let named = |line: &str| later_settings(&[format!("/etc/sysctl.d/zzz.conf:3:{line}")]);
        for line in ["kernel.yama.ptrace_scope = 0", "-kernel/yama/ptrace_scope=0", "kernel.kptr_restrict = 3"] {
            assert!(named(line)[0].starts_with("/etc/sysctl.d/zzz.conf:3 overrides a setting"), "{line}");
        }
        for line in ["kernel.yama.ptrace_scope = 1", "kernel.yama.ptrace_scope = 2", "vm.swappiness = 1"] {
            assert!(named(line).is_empty(), "{line}");
        }
    }
}
