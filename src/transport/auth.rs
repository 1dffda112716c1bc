//! Logs in with a key: keys of ssh-agent first, then key files.

use std::collections::HashMap;
use std::path::PathBuf;

use ssh2::{ErrorCode, Session};

use super::host_key::Fingerprint;
use super::key_file::{KeyFile, kind_of, needs_client};
use super::ssh_config::SshConfig;
use crate::dialog::{Dialog, plain};
use crate::error::Result;
use crate::secret::Secret;

/// libssh2: the server refused the key.
const AUTHENTICATION_FAILED: ErrorCode = ErrorCode::Session(-18);
/// libssh2: the server would take the key, but no signature could be made.
const PUBLICKEY_UNVERIFIED: ErrorCode = ErrorCode::Session(-19);

/// How often a passphrase is asked for, as OpenSSH does.
const PASSPHRASE_TRIES: u8 = 3;

/// What a login can be made with.
pub(super) struct LoginKeys<'a> {
    pub(super) config: &'a SshConfig,
    /// Whether the key files were named for this run, so that one that is missing is worth telling.
    pub(super) named: bool,
    /// Passphrases that were right, for the next login.
    pub(super) passphrases: &'a mut HashMap<PathBuf, Secret>,
    pub(super) dialog: &'a dyn Dialog,
}

/// Why a login failed, over all keys and users that were tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal {
    /// What the server takes, comma-separated.
    pub(super) offered: String,
    pub(super) tried: Vec<String>,
    pub(super) hints: Vec<String>,
    /// A key that only the system's ssh client can use.
    pub(super) needs_client: Option<String>,
}

impl Refusal {
    /// Adds what was found out with another user.
    pub(super) fn add(&mut self, other: Self) {
        self.offered = other.offered;
        for (mine, others) in [(&mut self.tried, other.tried), (&mut self.hints, other.hints)] {
            for text in others {
                if !mine.contains(&text) {
                    mine.push(text);
                }
            }
        }
        self.needs_client = self.needs_client.take().or(other.needs_client);
    }
}

/// What came of one key.
enum KeyAttempt {
    In,
    Refused,
    /// The connection is of no more use: the server counts failures.
    Closed(String),
    /// The key could not be used.
    Failed(String),
}

impl LoginKeys<'_> {
    /// Tries to log in as `user`: none when it worked, else why not.
    pub(super) fn log_in(&mut self, session: &Session, user: &str) -> Result<Option<Refusal>> {
        let offered = match session.auth_methods(user) {
            Ok(offered) => offered.to_owned(),
            // A server without any authentication lets everyone in at this point.
            Err(_) if session.authenticated() => return Ok(None),
            Err(e) => {
                let reason = format!("the server closed the connection: {}", e.message());
                return Ok(Some(Refusal { offered: "nothing".into(), tried: vec![reason], ..Refusal::default() }));
            }
        };
        let mut refusal = Refusal { offered: offered.replace(',', ", "), ..Refusal::default() };
        if !offered.split(',').any(|method| method == "publickey") {
            refusal
                .hints
                .push("allow `publickey` in the host's sshd_config, since factoryup logs in only with keys".into());
            return Ok(Some(refusal));
        }
        let files = self.read_files(&mut refusal);
        if self.try_agent(session, user, &files, &mut refusal) || self.try_files(session, user, &files, &mut refusal)? {
            return Ok(None);
        }
        Ok(Some(refusal))
    }

    fn read_files(&self, refusal: &mut Refusal) -> Vec<KeyFile> {
        let mut files = Vec::new();
        for path in &self.config.identity_files {
            match KeyFile::read(path) {
                Ok(file) => files.push(file),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && !self.named => {}
                Err(e) => refusal.tried.push(format!("{}: {}", path.display(), super::error::reason(&e))),
            }
        }
        files
    }

    /// Tries the agent's keys, those that key files name first, and only those when the configuration says so.
    fn try_agent(&self, session: &Session, user: &str, files: &[KeyFile], refusal: &mut Refusal) -> bool {
        if !self.config.use_agent || std::env::var_os("SSH_AUTH_SOCK").is_none() {
            return false;
        }
        let Ok(mut agent) = session.agent() else { return false };
        if let Err(e) = agent.connect().and_then(|()| agent.list_identities()) {
            refusal.tried.push(format!("the agent: {}", e.message()));
            return false;
        }
        let named = |blob: &[u8]| files.iter().any(|file| file.public.as_deref() == Some(blob));
        let mut identities = agent.identities().unwrap_or_default();
        identities.retain(|identity| !self.config.identities_only || named(identity.blob()));
        identities.sort_by_key(|identity| !named(identity.blob()));
        for identity in identities {
            let name = plain(&format!("the agent's key {} ({})", Fingerprint::of(identity.blob()), identity.comment()));
            if let Some(kind) = kind_of(identity.blob()).filter(|kind| needs_client(kind)) {
                refusal.needs_client.get_or_insert_with(|| format!("{name} is of type {kind}"));
                continue;
            }
            match answer(agent.userauth(user, &identity)) {
                KeyAttempt::In => return true,
                KeyAttempt::Refused => refusal.tried.push(format!("{name}: refused")),
                KeyAttempt::Failed(reason) => refusal.tried.push(format!("{name}: {reason}")),
                KeyAttempt::Closed(reason) => {
                    refusal.tried.push(format!("{name}: {reason}"));
                    refusal.hints.push(
                        "choose the right key with --identity: ssh-agent offers too many keys for this server".into(),
                    );
                    return false;
                }
            }
        }
        false
    }

    /// Tries key files; whether one of them worked.
    fn try_files(&mut self, session: &Session, user: &str, files: &[KeyFile], refusal: &mut Refusal) -> Result<bool> {
        for file in files {
            let name = file.path.display().to_string();
            if let Some(kind) = file.kind().filter(|kind| needs_client(kind)) {
                refusal.needs_client.get_or_insert_with(|| format!("{name} is of type {kind}"));
                continue;
            }
            let tried = match file.encrypted {
                // A public key alone stands for the agent's, which was tried already.
                None => {
                    if self.named && refusal.tried.is_empty() {
                        refusal
                            .tried
                            .push(format!("{name}: it is a public key, and ssh-agent does not have its private key"));
                    }
                    continue;
                }
                Some(false) => answer(session.userauth_pubkey_file(user, None, &file.path, None)),
                Some(true) => self.try_encrypted(session, user, file, refusal)?,
            };
            match tried {
                KeyAttempt::In => return Ok(true),
                KeyAttempt::Refused => refusal.tried.push(format!("{name}: refused")),
                KeyAttempt::Failed(reason) => refusal.tried.push(format!("{name}: {reason}")),
                KeyAttempt::Closed(reason) => {
                    refusal.tried.push(format!("{name}: {reason}"));
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    fn try_encrypted(
        &mut self,
        session: &Session,
        user: &str,
        file: &KeyFile,
        refusal: &mut Refusal,
    ) -> Result<KeyAttempt> {
        if let Some(public) = &file.public
            && !would_take(session, user, public)
        {
            return Ok(KeyAttempt::Refused);
        }
        let attempt = |passphrase: &Secret| {
            answer(session.userauth_pubkey_file(user, None, &file.path, Some(passphrase.expose())))
        };
        if let Some(passphrase) = self.passphrases.get(&file.path) {
            return Ok(attempt(passphrase));
        }
        if !self.dialog.is_interactive() {
            refusal.hints.push(format!("add the key to ssh-agent first: `ssh-add {}`", file.path.display()));
            return Ok(KeyAttempt::Failed(
                "needs its passphrase, which factoryup cannot ask for without a terminal".into(),
            ));
        }
        for _ in 0..PASSPHRASE_TRIES {
            let passphrase = self.dialog.secret(&format!("Passphrase of {}", file.path.display()))?;
            match attempt(&passphrase) {
                // With the right passphrase the server has the last word.
                KeyAttempt::In => {
                    self.passphrases.insert(file.path.clone(), passphrase);
                    return Ok(KeyAttempt::In);
                }
                KeyAttempt::Failed(_) => self.dialog.warn("Wrong passphrase."),
                other => return Ok(other),
            }
        }
        Ok(KeyAttempt::Failed("no correct passphrase was entered".into()))
    }
}

/// Whether the server would let the user in with this key, so that nobody is asked for a passphrase in vain.
fn would_take(session: &Session, user: &str, public: &[u8]) -> bool {
    use base64::Engine as _;
    let kind = kind_of(public).unwrap_or_default();
    let line = format!("{kind} {}", base64::engine::general_purpose::STANDARD.encode(public));
    // There is no private key in this attempt, so it ends when the server asks for a signature, which is the answer.
    let result = session.userauth_pubkey_memory(user, Some(&line), "", None);
    result.is_err_and(|e| e.code() != AUTHENTICATION_FAILED && !lost(&e))
}

fn answer(result: Result<(), ssh2::Error>) -> KeyAttempt {
    match result {
        Ok(()) => KeyAttempt::In,
        Err(e) if e.code() == AUTHENTICATION_FAILED => KeyAttempt::Refused,
        Err(e) if lost(&e) => KeyAttempt::Closed("the server closed the connection".into()),
        Err(e) if e.code() == PUBLICKEY_UNVERIFIED && e.message().starts_with("Invalid signature") => {
            KeyAttempt::Refused
        }
        Err(e) if e.code() == PUBLICKEY_UNVERIFIED => KeyAttempt::Failed("it could not sign".into()),
        Err(e) => KeyAttempt::Failed(plain(e.message())),
    }
}

/// Whether an error means that the connection is gone: a socket error, a time-out, or a disconnect message.
fn lost(error: &ssh2::Error) -> bool {
    let closed = [-1, -7, -9, -13, -30, -43, -45].map(ErrorCode::Session).contains(&error.code());
    closed || error.message().contains("Waiting for")
}
