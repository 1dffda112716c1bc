//! The keys that a login can be made with, the most promising ones first: a server ends a connection after a few failures, and a
//! guard such as fail2ban counts them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ssh2::{Agent, PublicKey};

use super::fingerprint::Fingerprint;
use super::key_file::{KeyFile, kind_of, needs_client};
use super::ssh_config::SshConfig;
use crate::dialog::plain;

/// Which keys are wanted for a login, apart from what the configuration says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// A private key that was named for this run.
    pub(super) identity: Option<&'a Path>,
    /// The key that the last login was made with.
    pub(super) last: Option<&'a str>,
    /// Public keys, as blobs, that the host is known or meant to accept.
    pub(super) keys: &'a [Vec<u8>],
}

/// How promising a key is; the first is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Last,
    Named,
    Wanted,
    /// It is in a file that the configuration names, or in the agent and in a usual file.
    Configured,
    Agent,
    Usual,
}

/// Where a key is.
pub(super) enum Source {
    Agent(PublicKey),
    File(KeyFile),
}

/// A key that can be tried.
pub(super) struct Candidate {
    pub(super) rank: Rank,
    /// For messages.
    pub(super) name: String,
    pub(super) source: Source,
}

impl Candidate {
    /// Its public part, as far as it is known.
    pub(super) fn blob(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Agent(identity) => Some(identity.blob()),
            Source::File(file) => file.public.as_deref(),
        }
    }

    /// Why only the system's client can use it.
    pub(super) fn needs_client(&self) -> Option<String> {
        let kind = kind_of(self.blob()?).filter(|kind| needs_client(kind))?;
        Some(format!("{} is of type {kind}", self.name))
    }
}

/// The keys to try, and what is worth telling of others, such as files that cannot be read.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) list: Vec<Candidate>,
    pub(super) notes: Vec<String>,
}

impl Wanted<'_> {
    /// Ranks the agent's keys and those in files. Without a private key here, a file stands for the agent's.
    pub(super) fn candidates(&self, config: &SshConfig, agent: Option<&mut Agent>) -> Candidates {
        let mut found = Candidates::default();
        let files = self.files(config, &mut found);
        let mut identities = Vec::new();
        if let Some(agent) = agent {
            match agent.connect().and_then(|()| agent.list_identities()).and_then(|()| agent.identities()) {
                Ok(all) => identities = all,
                Err(e) => found.notes.push(format!("the agent: {}", plain(e.message()))),
            }
        }
        for identity in identities {
            let named = files.iter().find(|(_, file)| file.public.as_deref() == Some(identity.blob()));
            let rank = match named {
                Some((rank @ Rank::Named, _)) => *rank,
                Some(_) => Rank::Configured,
                None => Rank::Agent,
            };
            if named.is_none() && config.identities_only {
                continue;
            }
            let name = plain(&format!("the agent's key {} ({})", Fingerprint::of(identity.blob()), identity.comment()));
            let rank = rank.min(self.rank(Some(identity.blob())).unwrap_or(rank));
            found.list.push(Candidate { rank, name, source: Source::Agent(identity) });
        }
        for (rank, file) in files {
            // The agent can sign with it, which asks for no passphrase.
            if file.public.is_some() && found.list.iter().any(|held| held.blob() == file.public.as_deref()) {
                continue;
            }
            let name = file.path.display().to_string();
            let rank = rank.min(self.rank(file.public.as_deref()).unwrap_or(rank));
            found.list.push(Candidate { rank, name, source: Source::File(file) });
        }
        found.list.sort_by_key(|candidate| candidate.rank);
        found
    }

    /// The rank that the key has by itself.
    fn rank(&self, blob: Option<&[u8]>) -> Option<Rank> {
        let blob = blob?;
        if self.last.is_some_and(|last| Fingerprint::of(blob).to_string() == last) {
            return Some(Rank::Last);
        }
        self.keys.iter().any(|key| key == blob).then_some(Rank::Wanted)
    }

    fn files(&self, config: &SshConfig, found: &mut Candidates) -> Vec<(Rank, KeyFile)> {
        let configured = if config.names_identities { Rank::Configured } else { Rank::Usual };
        let named = self.identity.map(|path| (Rank::Named, path.to_owned()));
        let all = named.into_iter().chain(config.identity_files.iter().map(|path| (configured, path.clone())));
        let mut files: Vec<(Rank, KeyFile)> = Vec::new();
        for (rank, path) in all {
            if files.iter().any(|(_, file)| file.path == path) {
                continue;
            }
            match KeyFile::read(&path) {
                Ok(file) => files.push((rank, file)),
                Err(e) if e.kind() == ErrorKind::NotFound && rank != Rank::Named => {}
                Err(e) => found.notes.push(format!("{}: {}", path.display(), super::error::reason(&e))),
            }
        }
        files
    }
}

/// The first of these keys' certificates: ssh looks for it next to each key, and only the client can use it.
pub(super) fn certificate<'a>(keys: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
    let next_to = |path: &PathBuf| {
        let text = path.as_os_str().to_string_lossy();
        PathBuf::from(format!("{}-cert.pub", text.strip_suffix(".pub").unwrap_or(&text)))
    };
    let path = keys.map(next_to).find(|path| path.exists())?;
    Some(plain(&format!("certificate {}", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An unencrypted key pair's files, of which nothing but the public part is looked at.
    fn key(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let mut command = crate::process::command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path);
        assert!(command.status().unwrap().success());
        path
    }

    #[test]
    fn the_most_promising_keys_come_first_and_each_once() {
        if !crate::skip::need("ssh-keygen") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| key(folder.path(), name);
        let (usual, meant, last, named) = (path("usual"), path("meant"), path("last"), path("named"));
        let blob = |path: &Path| KeyFile::read(path).unwrap().public.unwrap();
        let config = SshConfig {
            identity_files: vec![usual.clone(), meant.clone(), named.clone(), folder.path().join("none"), last.clone()],
            ..SshConfig::default()
        };
        let (fingerprint, keys) = (Fingerprint::of(&blob(&last)).to_string(), [blob(&meant)]);
        let mut wanted = Wanted { identity: Some(&named), last: Some(&fingerprint), keys: &keys };
        let order = |wanted: Wanted<'_>| {
            let found = wanted.candidates(&config, None);
            let order = found.list.iter().map(|one| one.name.rsplit('/').next().unwrap_or_default().to_owned());
            (order.collect::<Vec<_>>(), found.notes.len())
        };
        let all = ["last", "named", "meant", "usual"].map(str::to_owned).to_vec();
        assert_eq!(order(wanted), (all, 0));
        assert_eq!(certificate(config.identity_files.iter()), None);
        std::fs::write(folder.path().join("usual-cert.pub"), "").unwrap();
        let none = folder.path().join("none");
        wanted = Wanted { identity: Some(&none), ..Wanted::default() };
        let (all, notes) = order(wanted);
        assert_eq!((all.len(), notes), (4, 1));
        assert!(certificate(config.identity_files.iter()).unwrap().ends_with("/usual-cert.pub"));
    }
}
